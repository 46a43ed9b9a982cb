"""Recreate and the deadline of a rollout, as a function of what is seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from klever.api.kinds import Object
from klever.backends import Instance, InstancePhase
from klever.controllers.serving.plan import Plan, make_plan
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.controllers.serving.status import build_status
from klever.routers import Route
from tests.unit.controllers.test_plan import CANARY, MAIN, NOW, fallback, instance, seen, weights, workload

OLD: dict[str, Any] = {**MAIN, "traffic": 100}
NEW: dict[str, Any] = {**OLD, "command": ["serve", "better"]}


def recreating(
    predictor: dict[str, Any],
    *instances: Instance,
    route: Route | None = None,
    status: Object | None = None,
) -> Snapshot:
    """Return what is seen of a Serving with the strategy Recreate that served OLD before."""
    snapshot = seen(predictor, instances=instances, route=route)
    serving = {
        **snapshot.serving,
        "spec": {"predictors": [predictor], "strategy": {"type": "Recreate", "progressDeadlineSeconds": 60}},
        "status": status or {},
    }
    return replace(snapshot, serving=serving, last_good=fallback(OLD))


def ran(plan: Plan) -> list[str]:
    return [w.id for w in plan.running]


def test_recreate_ends_the_old_workload_before_it_starts_the_new_one() -> None:
    route = make_plan(seen(OLD, instances=(instance(OLD),))).route
    both = make_plan(recreating(NEW, instance(OLD), route=route))
    assert (ran(both), both.keep, both.retired) == ([], frozenset(), (workload(OLD),))
    assert not both.route.targets[0].http
    assert both.recreates
    alone = make_plan(recreating(NEW, route=both.route))
    assert ran(alone) == [workload(NEW)]
    ready = make_plan(recreating(NEW, instance(NEW), route=alone.route))
    assert (ran(ready), ready.route.targets[0].workload) == ([workload(NEW)], workload(NEW))


def test_recreate_keeps_the_old_workload_while_the_new_one_cannot_start() -> None:
    route = make_plan(seen(OLD, instances=(instance(OLD),))).route
    snapshot = recreating(NEW, instance(OLD), route=route)
    waiting = make_plan(replace(snapshot, models=seen(NEW, state=Resolution.WAITING).models))
    assert (ran(waiting), weights(waiting)) == ([workload(OLD)], {"main": 100})
    assert waiting.route.targets[0].http


def test_recreate_returns_to_the_old_workload_when_the_new_one_has_failed() -> None:
    failed = instance(NEW, InstancePhase.FAILED)
    plan = make_plan(recreating(NEW, failed))
    assert ran(plan) == [workload(NEW), workload(OLD)]
    serving = make_plan(recreating(NEW, failed, instance(OLD), route=plan.route))
    assert serving.route.targets[0].workload == workload(OLD)


def test_recreate_leaves_predictors_alone_that_do_not_change() -> None:
    both = (MAIN, {**CANARY, "command": ["serve", "newer"]})
    snapshot = seen(*both, instances=(instance(MAIN), instance(CANARY)))
    serving = {**snapshot.serving, "spec": {"predictors": list(both), "strategy": {"type": "Recreate"}}}
    plan = make_plan(replace(snapshot, serving=serving, last_good=fallback(MAIN) | fallback(CANARY)))
    assert (ran(plan), weights(plan)) == ([workload(MAIN)], {"main": 100, "canary": 0})


def status_after(snapshot: Snapshot, seconds: int) -> Object:
    """Return the status that is written after some time in which nothing happened."""
    later = replace(snapshot, now=NOW + timedelta(seconds=seconds))
    return build_status(later, make_plan(later))


def conditions(status: Object) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def with_status(snapshot: Snapshot, status: Object) -> Snapshot:
    return replace(snapshot, serving={**snapshot.serving, "status": status})


def test_a_rollout_that_makes_no_progress_in_time_says_so() -> None:
    starting = instance(NEW, InstancePhase.STARTING)
    route = make_plan(seen(OLD, instances=(instance(OLD),))).route
    snapshot = seen(NEW, instances=(instance(OLD), starting), route=route, phase="Ready")
    begun = status_after(snapshot, 0)
    assert conditions(begun)["Progressing"] == ("True", "ReplicasStarting")
    snapshot = with_status(snapshot, begun)
    assert conditions(status_after(snapshot, 599))["Progressing"] == ("True", "ReplicasStarting")
    late = status_after(snapshot, 600)
    assert conditions(late)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    assert (late["phase"], conditions(late)["Ready"]) == ("Degraded", ("True", "ProgressDeadlineExceeded"))
    ready = replace(with_status(snapshot, late), instances=(instance(OLD), instance(NEW)))
    assert status_after(ready, 601)["phase"] == "Ready"


def test_each_step_of_a_rollout_has_the_time_anew() -> None:
    two = {**NEW, "replicas": 2}
    first, second = (instance(two, InstancePhase.PENDING, number) for number in range(2))
    snapshot = seen(two, instances=(first, second))
    begun = status_after(snapshot, 0)
    pulls = replace(with_status(snapshot, begun), instances=(replace(first, message="pulling the model"), second))
    pulled = status_after(pulls, 500)
    assert pulled["progressTime"] == "2026-01-31T12:08:20Z"
    one = replace(with_status(pulls, pulled), instances=(instance(two), second))
    assert status_after(one, 900)["progressTime"] == "2026-01-31T12:15:00Z"
    crashed = replace(second, phase=InstancePhase.BACK_OFF, reason="Killed", message="a word that changes")
    still = replace(with_status(pulls, pulled), instances=(first, crashed))
    assert status_after(still, 1100)["progressTime"] == pulled["progressTime"]


def test_recreate_returns_to_the_old_workload_when_the_new_one_takes_too_long() -> None:
    crashed = replace(instance(NEW, InstancePhase.BACK_OFF), reason="OOMKilled")
    snapshot = recreating(NEW, crashed, status={})
    begun = with_status(snapshot, status_after(snapshot, 0))
    late = status_after(begun, 61)
    assert conditions(late)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    ends = make_plan(with_status(snapshot, late))
    assert ran(ends) == []
    returned = make_plan(replace(with_status(snapshot, late), instances=()))
    assert ran(returned) == [workload(OLD)]
    serving = replace(with_status(snapshot, late), instances=(instance(OLD),))
    status = build_status(serving, make_plan(serving))
    assert conditions(status)["Progressing"] == ("False", "ProgressDeadlineExceeded")
    assert (status["phase"], conditions(status)["Ready"][0]) == ("Degraded", "True")
    assert "BackOff" in status["predictors"][0]["message"]
    changed = {**serving.serving["metadata"], "generation": 2}
    again = make_plan(replace(serving, serving={**serving.serving, "status": status, "metadata": changed}))
    assert ran(again) == []


class Rolling:
    """A Serving of four replicas that goes from OLD to NEW, with a surge."""

    def __init__(self, surge: str) -> None:
        self.old, self.new = {**OLD, "replicas": 4}, {**NEW, "replicas": 4}
        self.surge = surge
        self.route = make_plan(seen(self.old, instances=self.replicas(self.old, 4))).route

    @staticmethod
    def replicas(predictor: dict[str, Any], ready: int, starting: int = 0) -> tuple[Instance, ...]:
        return tuple(
            instance(predictor, InstancePhase.READY if number < ready else InstancePhase.STARTING, number)
            for number in range(ready + starting)
        )

    def step(self, *groups: tuple[Instance, ...]) -> tuple[dict[str, int], int]:
        """Return how many replicas of each workload shall run, and how many take requests."""
        instances = tuple(replace(i, http=f"{i.workload}:{i.index}") for group in groups for i in group)
        snapshot = seen(self.new, instances=instances, route=self.route)
        serving = {**snapshot.serving, "spec": {"predictors": [self.new], "strategy": {"maxSurge": self.surge}}}
        last_good = {"main": replace(fallback(self.old)["main"], protocol=snapshot.models["main"].protocol)}
        plan = make_plan(replace(snapshot, serving=serving, last_good=last_good))
        self.route = plan.route
        names = {workload(self.old): "old", workload(self.new): "new"}
        return {names[w.id]: w.replicas for w in plan.running}, len(plan.route.targets[0].http)


def test_a_rolling_update_replaces_as_many_replicas_at_a_time_as_the_surge_allows() -> None:
    rolling = Rolling("25%")
    old, new = rolling.old, rolling.new
    replicas = rolling.replicas
    assert rolling.step(replicas(old, 4)) == ({"new": 1, "old": 4}, 4)
    assert rolling.step(replicas(old, 4), replicas(new, 0, 1)) == ({"new": 1, "old": 4}, 4)
    assert rolling.step(replicas(old, 4), replicas(new, 1)) == ({"new": 1, "old": 3}, 4)
    assert rolling.step(replicas(old, 3), replicas(new, 1)) == ({"new": 2, "old": 3}, 4)
    assert rolling.step(replicas(old, 3), replicas(new, 1, 1)) == ({"new": 2, "old": 3}, 4)
    assert rolling.step(replicas(old, 1), replicas(new, 3, 1)) == ({"new": 4, "old": 1}, 4)
    assert rolling.step(replicas(old, 1), replicas(new, 4)) == ({"new": 4}, 4)


def test_a_new_replica_that_crashes_during_a_rolling_update_brings_an_old_one_back() -> None:
    rolling = Rolling("1")
    crashed = replace(rolling.replicas(rolling.new, 2)[1], phase=InstancePhase.BACK_OFF)
    two = rolling.replicas(rolling.new, 1)
    assert rolling.step(rolling.replicas(rolling.old, 2), (*two, crashed)) == ({"new": 2, "old": 3}, 3)


def test_a_whole_surge_starts_all_new_replicas_and_mixes_no_requests() -> None:
    rolling = Rolling("100%")
    halfway = rolling.replicas(rolling.old, 4), rolling.replicas(rolling.new, 3, 1)
    assert rolling.step(*halfway) == ({"new": 4, "old": 4}, 4)
    assert {target.workload for target in rolling.route.targets} == {workload(rolling.old)}
