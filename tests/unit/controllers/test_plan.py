"""The plan and the status of a Serving, as functions of a snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from klever.backends import Instance, InstancePhase
from klever.controllers.serving.happenings import crash_events, status_events
from klever.controllers.serving.plan import Plan, make_plan
from klever.controllers.serving.snapshot import Fallback, Resolution, ResolvedModel, Snapshot
from klever.controllers.serving.status import build_status
from klever.errors import FieldViolation
from klever.routers import Route
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MAIN: dict[str, Any] = {"name": "main", "command": ["serve"], "traffic": 80}
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-31T12:00:00Z"}
CANARY: dict[str, Any] = {"name": "canary", "command": ["serve", "new"], "traffic": 20}


def seen(
    *predictors: dict[str, Any],
    instances: tuple[Instance, ...] = (),
    route: Route | None = None,
    state: Resolution = Resolution.RESOLVED,
    phase: str = "",
) -> Snapshot:
    serving = {
        "metadata": {"namespace": "team", "name": "digits", "uid": "u", "generation": 1},
        "spec": {"predictors": list(predictors)},
        "status": {"phase": phase, "conditions": [READY] if phase == "Ready" else []},
    }
    model = ResolvedModel(state, "" if state is Resolution.RESOLVED else "why not", runtime="custom")
    return Snapshot(serving, {p["name"]: model for p in predictors}, instances, route, "http://host/x", NOW)


def workload(predictor: dict[str, Any]) -> str:
    return make_plan(seen({**predictor, "traffic": 100})).wanted[0].id


def instance(predictor: dict[str, Any], phase: InstancePhase = InstancePhase.READY, number: int = 0) -> Instance:
    name = f"{predictor['name']}-{number}"
    return Instance(
        name,
        predictor["name"],
        workload(predictor),
        phase,
        message=f"{name} is {phase}",
        http=f"127.0.0.1:{9000 + number}",
        index=number,
    )


def weights(plan: Plan) -> dict[str, int]:
    return {t.predictor: t.weight for t in plan.route.targets}


def test_shares_are_as_the_spec_says_when_all_are_ready() -> None:
    plan = make_plan(seen(MAIN, CANARY, instances=(instance(MAIN), instance(CANARY))))
    assert weights(plan) == {"main": 80, "canary": 20}
    assert not plan.keep


def test_the_share_of_a_canary_that_crashed_goes_to_the_others() -> None:
    snapshot = seen(MAIN, CANARY, instances=(instance(MAIN), instance(CANARY, InstancePhase.BACK_OFF)), phase="Ready")
    plan = make_plan(snapshot)
    assert weights(plan) == {"main": 100, "canary": 0}
    status = build_status(snapshot, plan)
    assert (status["phase"], status["trafficSummary"]) == ("Degraded", "main=100")
    assert "canary-0 is BackOff" in status["conditions"][0]["message"]


def test_a_target_is_guarded_if_one_of_its_replicas_needs_it() -> None:
    guarded = replace(instance(MAIN, number=1), guard=Guard.TRITON)
    two = {**MAIN, "replicas": 2}
    (main, canary) = make_plan(seen(two, CANARY, instances=(instance(MAIN), guarded, instance(CANARY)))).route.targets
    assert (main.guard, canary.guard) == (Guard.TRITON, Guard.NONE)


def test_shares_stay_whole_and_sum_to_a_hundred() -> None:
    thirds = [{"name": name, "command": [name], "traffic": share} for name, share in (("a", 33), ("b", 33), ("c", 34))]
    plan = make_plan(seen(*thirds, instances=(instance(thirds[0]), instance(thirds[2]))))
    assert weights(plan) == {"a": 49, "b": 0, "c": 51}


def test_an_old_workload_serves_until_the_new_one_is_ready() -> None:
    old, new = {**MAIN, "traffic": 100}, {**MAIN, "traffic": 100, "command": ["serve", "better"]}
    route = make_plan(seen(old, instances=(instance(old),))).route
    snapshot = seen(new, instances=(instance(old), instance(new, InstancePhase.STARTING)), route=route, phase="Ready")
    starting = make_plan(snapshot)
    assert starting.route == route
    assert starting.keep == {workload(old)}
    status = build_status(snapshot, starting)
    assert (status["phase"], status["readyReplicas"], status["predictors"][0]["readyReplicas"]) == ("Deploying", 1, 1)
    ready = make_plan(seen(new, instances=(instance(old), instance(new)), route=route))
    assert ready.route.targets[0].workload == workload(new)
    assert ready.retired == (workload(old),)
    assert not ready.keep


def told(snapshot: Snapshot) -> tuple[str, tuple[str, str], tuple[str, str]]:
    """Return the phase, and what Ready and Progressing say, with their reasons."""
    status = build_status(snapshot, make_plan(snapshot))
    ready, progressing = ((c["status"], c["reason"]) for c in status["conditions"][:2])
    return status["phase"], ready, progressing


def test_a_routine_change_leaves_ready_true_and_is_told_by_progressing() -> None:
    whole = {**MAIN, "traffic": 100}
    better = {**whole, "command": ["serve", "better"]}
    old = (instance(whole),)
    route = make_plan(seen(whole, instances=old)).route
    starting, complete = ("True", "ReplicasStarting"), ("False", "Complete")
    changed = seen(better, instances=(*old, instance(better, InstancePhase.STARTING)), route=route, phase="Ready")
    assert told(changed) == ("Deploying", ("True", "Serving"), starting)
    scaled = seen({**whole, "replicas": 2}, instances=old, route=route, phase="Ready")
    assert told(scaled) == ("Deploying", ("True", "Serving"), starting)
    canary = seen(MAIN, CANARY, instances=old, route=route, phase="Ready")
    assert told(canary) == ("Deploying", ("True", "Serving"), starting)
    assert told(seen(MAIN, CANARY, instances=(*old, instance(CANARY)))) == ("Ready", ("True", "Serving"), complete)


def test_a_first_deploy_is_ready_when_every_share_is_served() -> None:
    phase, ready, _ = told(seen(MAIN, CANARY, instances=(instance(MAIN),)))
    assert (phase, ready) == ("Deploying", ("False", "PredictorsNotReady"))


def test_a_crash_is_not_ready_if_a_share_is_served_by_nobody_or_by_another() -> None:
    two = {**MAIN, "traffic": 100, "replicas": 2}
    crashed = replace(instance(two, InstancePhase.BACK_OFF, 1), reason="Killed")
    one_of_two = seen(two, instances=(instance(two), crashed), phase="Ready")
    assert told(one_of_two) == ("Degraded", ("True", "Killed"), ("True", "Killed"))
    canary = seen(MAIN, CANARY, instances=(instance(MAIN), instance(CANARY, InstancePhase.BACK_OFF)), phase="Ready")
    assert told(canary) == ("Degraded", ("False", "ReplicaEnded"), ("True", "ReplicaEnded"))


def test_ready_tells_what_is_wrong_while_the_old_workload_serves() -> None:
    whole = {**MAIN, "traffic": 100}
    route = make_plan(seen(whole, instances=(instance(whole),))).route
    missing = ResolvedModel(Resolution.WAITING, "why not", reason="ModelNotFound")
    snapshot = replace(seen(whole, instances=(instance(whole),), route=route, phase="Ready"), models={"main": missing})
    assert told(snapshot) == ("Degraded", ("True", "ModelNotFound"), ("True", "ModelNotFound"))
    failed = ResolvedModel(Resolution.FAILED, "why not", reason="ModelUnusable")
    snapshot = replace(snapshot, models={"main": failed})
    assert told(snapshot) == ("Degraded", ("True", "PredictorFailed"), ("False", "PredictorFailed"))
    nothing = replace(snapshot, instances=())
    assert told(nothing) == ("Failed", ("False", "PredictorFailed"), ("False", "PredictorFailed"))


def test_a_serving_whose_matched_predictors_have_no_replicas_is_scaled_to_zero() -> None:
    off = ("False", "ScaledToZero")
    by_header = {field: value for field, value in MAIN.items() if field != "traffic"} | {
        "matches": [{"headers": [{"name": "x-beta", "exact": "1"}]}],
        "replicas": 0,
    }
    assert told(seen(by_header, phase="Ready")) == ("ScaledToZero", off, off)


def test_a_serving_without_replicas_is_scaled_to_zero() -> None:
    off = ("False", "ScaledToZero")
    assert told(seen({**MAIN, "traffic": 100, "replicas": 0}, phase="Ready")) == ("ScaledToZero", off, off)
    beside = seen({**MAIN, "replicas": 0}, CANARY, instances=(instance(CANARY),))
    assert told(beside)[0] == "Ready"


def test_events_name_the_shares_that_became_live() -> None:
    shared = seen(MAIN, CANARY, instances=(instance(MAIN), instance(CANARY)))
    status = build_status(shared, make_plan(shared))
    assert [(kind, reason) for kind, reason, _ in status_events({}, status)] == [
        ("Normal", "Ready"), ("Normal", "TrafficChanged")
    ]  # fmt: skip
    assert list(status_events({**status, "trafficSummary": "main=100"}, status)) == [
        ("Normal", "TrafficChanged", "main=80 canary=20")
    ]
    assert not list(status_events(status, status))


def fallback(predictor: dict[str, Any]) -> dict[str, Fallback]:
    workload = make_plan(seen({**predictor, "traffic": 100})).wanted[0]
    return {predictor["name"]: Fallback(workload, ANY, predictor.get("traffic"))}


def test_the_last_good_revision_serves_until_the_new_workload_is_ready_also_when_nothing_is_published() -> None:
    old, new = {**MAIN, "traffic": 100}, {**MAIN, "traffic": 100, "command": ["serve", "better"]}
    last_good = fallback(old)
    nothing = make_plan(replace(seen(new), last_good=last_good))
    assert [w.id for w in nothing.running] == [workload(new), workload(old)]
    one = make_plan(replace(seen(new, instances=(instance(old),)), last_good=last_good))
    assert (one.route.targets[0].workload, one.route.targets[0].protocol) == (workload(old), ANY)
    both = make_plan(replace(seen(new, instances=(instance(old), instance(new)), route=one.route), last_good=last_good))
    assert [w.id for w in both.running] == [workload(new)]
    assert both.retired == (workload(old),)
    unknown = make_plan(replace(seen(new, state=Resolution.WAITING), last_good=last_good))
    assert [w.id for w in unknown.running] == [workload(old)]


def test_the_last_good_revision_serves_in_place_of_predictors_that_it_does_not_name() -> None:
    old, new = {**MAIN, "traffic": 100}, {**MAIN, "name": "stable", "traffic": 100, "command": ["serve", "better"]}
    last_good = fallback(old)
    starting = make_plan(replace(seen(new, instances=(instance(old),)), last_good=last_good))
    assert weights(starting) == {"main": 100, "stable": 0}
    assert [w.predictor for w in starting.running] == ["stable", "main"]
    ready = make_plan(replace(seen(new, instances=(instance(old), instance(new))), last_good=last_good))
    assert weights(ready) == {"stable": 100}
    assert [w.predictor for w in ready.running] == ["stable"]


def test_replicas_behind_one_endpoint_are_one_target() -> None:
    predictor = {**MAIN, "traffic": 100, "replicas": 2}
    one = instance(predictor)
    plan = make_plan(seen(predictor, instances=(one, replace(one, name="main-1"))))
    assert plan.route.targets[0].http == (one.http,)


def test_a_predictor_that_the_backend_does_not_support_runs_nothing_and_names_the_field() -> None:
    violation = FieldViolation("resources.limits.memory", "'much' is not a quantity")
    snapshot = replace(seen({**MAIN, "traffic": 100}), violations={"main": (violation,)})
    plan = make_plan(snapshot)
    assert not plan.wanted
    status = build_status(snapshot, plan)
    assert status["phase"] == "Failed"
    assert "resources.limits.memory" in status["predictors"][0]["message"]


def test_a_workload_keeps_its_protocol_while_its_successors_model_is_unknown() -> None:
    old, new = {**MAIN, "traffic": 100}, {**MAIN, "traffic": 100, "command": ["serve", "better"]}
    snapshot = seen(old, instances=(instance(old),))
    known = replace(snapshot.models["main"], protocol=ANY)
    route = make_plan(replace(snapshot, models={"main": known})).route
    assert route.targets[0].protocol == ANY
    waiting = make_plan(seen(new, instances=(instance(old),), route=route, state=Resolution.WAITING))
    assert waiting.route == route


def test_predictors_that_swap_what_they_run_swap_their_requests_and_restart_nothing() -> None:
    before = (MAIN, CANARY)
    after = ({**MAIN, "command": CANARY["command"]}, {**CANARY, "command": MAIN["command"]})
    running = (instance(MAIN), instance(CANARY))
    route = make_plan(seen(*before, instances=running)).route
    plan = make_plan(seen(*after, instances=running, route=route))
    assert {t.predictor: (t.workload, t.weight) for t in plan.route.targets} == {
        "main": (workload(CANARY), 80), "canary": (workload(MAIN), 20)
    }  # fmt: skip
    assert {w.id for w in plan.running} == {workload(p) for p in before}
    assert set(plan.retired) == {workload(p) for p in before}  # each for the predictor that used it


def test_a_promotion_moves_the_requests_to_what_runs_already() -> None:
    running = (instance(MAIN), instance(CANARY))
    route = make_plan(seen(MAIN, CANARY, instances=running)).route
    promoted = {**CANARY, "name": "main", "traffic": 100}
    snapshot = replace(seen(promoted, instances=running, route=route), last_good=fallback(MAIN) | fallback(CANARY))
    plan = make_plan(snapshot)
    assert [(t.predictor, t.workload, t.weight) for t in plan.route.targets] == [("main", workload(CANARY), 100)]
    assert [w.id for w in plan.running] == [workload(CANARY)]
    assert build_status(snapshot, plan)["phase"] == "Ready"


def test_predictors_that_run_the_same_share_a_workload_and_count_its_replicas_once() -> None:
    twin = {**MAIN, "name": "twin", "traffic": 20, "replicas": 2}
    one = instance(MAIN)
    snapshot = seen(MAIN, twin, instances=(one, replace(one, name="main-1", index=1)))
    plan = make_plan(snapshot)
    assert [(w.id, w.replicas) for w in plan.running] == [(workload(MAIN), 3)]
    assert [(p.ready, p.serving) for p in plan.predictors] == [(1, 1), (1, 1)]
    status = build_status(snapshot, plan)
    assert (status["readyReplicas"], status["replicas"]) == (2, 3)


def test_a_replica_that_is_surplus_takes_no_requests_once_another_does() -> None:
    two = tuple(instance(MAIN, number=number) for number in range(2))
    one = {**MAIN, "traffic": 100}
    plan = make_plan(seen(one, instances=two))
    assert plan.route.targets[0].http == (two[0].http,)
    assert plan.running[0].replicas == 1
    crashed = replace(two[0], phase=InstancePhase.BACK_OFF)
    plan = make_plan(seen(one, instances=(crashed, two[1])))
    assert plan.route.targets[0].http == (two[1].http,)
    assert plan.running[0].replicas == 2
    none = make_plan(seen({**one, "replicas": 0}, instances=two))
    assert (none.route.targets[0].http, none.running[0].replicas) == ((), 0)


def test_a_predictor_that_is_named_no_longer_serves_until_another_can() -> None:
    old, new = {**MAIN, "traffic": 100}, {**MAIN, "name": "stable", "traffic": 100, "command": ["serve", "better"]}
    route = make_plan(seen(old, instances=(instance(old),))).route
    snapshot = seen(new, instances=(instance(old), instance(new, InstancePhase.STARTING)), route=route, phase="Ready")
    starting = make_plan(snapshot)
    assert weights(starting) == {"main": 100, "stable": 0}
    assert starting.keep == {workload(old)}
    assert build_status(snapshot, starting)["trafficSummary"] == "main=100"
    ready = make_plan(seen(new, instances=(instance(old), instance(new)), route=starting.route))
    assert weights(ready) == {"stable": 100}
    assert ready.retired == (workload(old),)
    assert not ready.keep


def test_a_predictor_that_is_named_no_longer_takes_the_share_of_its_successor_alone() -> None:
    old, new = MAIN, {**MAIN, "name": "stable", "command": ["serve", "better"]}
    route = make_plan(seen(old, CANARY, instances=(instance(old), instance(CANARY)))).route
    starting = make_plan(seen(new, CANARY, instances=(instance(old), instance(CANARY)), route=route))
    assert weights(starting) == {"main": 80, "canary": 20, "stable": 0}
    alone = make_plan(seen(old, instances=(instance(old),))).route
    joined = make_plan(seen(new, CANARY, instances=(instance(old), instance(CANARY)), route=alone))
    assert weights(joined) == {"main": 80, "canary": 20, "stable": 0}
    crashed = make_plan(seen(new, CANARY, instances=(instance(CANARY),), route=route))
    assert weights(crashed) == {"canary": 100, "stable": 0}
    none_wanted = make_plan(seen({**new, "replicas": 0, "traffic": 100}, instances=(instance(old),), route=route))
    assert weights(none_wanted) == {"stable": 100}


def test_a_new_workload_that_fails_leaves_the_old_one_serving_and_says_so() -> None:
    old, new = {**MAIN, "traffic": 100}, {**MAIN, "traffic": 100, "command": ["serve", "worse"]}
    route = make_plan(seen(old, instances=(instance(old),))).route
    snapshot = seen(new, instances=(instance(old), instance(new, InstancePhase.FAILED)), route=route, phase="Ready")
    plan = make_plan(snapshot)
    assert plan.route == route
    status = build_status(snapshot, plan)
    assert status["phase"] == "Degraded"
    assert status["conditions"][0]["reason"] == "PredictorFailed"


def test_a_workload_moves_with_what_is_run_and_not_with_its_share() -> None:
    assert workload(MAIN) == workload({**MAIN, "traffic": 1, "replicas": 5})
    assert workload(MAIN) != workload({**MAIN, "env": [{"name": "A", "value": "1"}]})


def test_nothing_ready_publishes_a_route_without_endpoints() -> None:
    snapshot = seen({**MAIN, "traffic": 100}, state=Resolution.WAITING)
    plan = make_plan(snapshot)
    assert [t.http for t in plan.route.targets] == [()]
    status = build_status(snapshot, plan)
    assert (status["phase"], status["url"]) == ("Pending", "http://host/x")
    assert (status["readyReplicas"], status["replicas"], status["predictors"][0]["replicas"]) == (0, 1, 1)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "False", "Progressing": "True", "ModelResolved": "False", "SignatureKnown": "True",
        "RoutesReady": "False",
    }  # fmt: skip


def test_a_serving_with_a_missing_model_is_degraded_at_once() -> None:
    """Also after a restart, when nothing tells any more that it was Ready once."""
    snapshot = seen({**MAIN, "traffic": 50}, {**CANARY, "traffic": 50}, instances=(instance(MAIN),))
    missing = ResolvedModel(Resolution.WAITING, "why not", reason="ModelNotFound")
    snapshot = replace(snapshot, models=snapshot.models | {CANARY["name"]: missing})
    assert build_status(snapshot, make_plan(snapshot))["phase"] == "Degraded"


def test_a_route_that_the_gateway_refuses_is_said_and_the_old_one_stays() -> None:
    before = make_plan(seen({**MAIN, "traffic": 100}, instances=(instance(MAIN),))).route
    snapshot = seen(MAIN, CANARY, instances=(instance(MAIN), instance(CANARY)), route=before, phase="Ready")
    status = build_status(snapshot, make_plan(snapshot).failed(snapshot, "the gateway refuses it", refused=True))
    assert (status["phase"], status["trafficSummary"]) == ("Degraded", "main=100")
    assert [p["traffic"] for p in status["predictors"]] == [100, 0]
    said = {c["type"]: (c["status"], c["message"]) for c in status["conditions"]}
    assert said["Ready"] == said["RoutesReady"] == ("False", "the gateway refuses it")
    assert status["conditions"][0]["reason"] == "Refused"  # for good, and those who wait for it are told so
    passing = build_status(snapshot, make_plan(snapshot).failed(snapshot, "the gateway is away"))
    assert passing["conditions"][0]["reason"] == "NotApplied"


AUTOSCALED: dict[str, Any] = {**MAIN, "traffic": 100, "autoscaling": {"min": 2, "max": 4, "cpu": 80}}


def test_an_autoscaled_predictor_is_ready_with_its_least_replicas_and_counts_all() -> None:
    three = tuple(instance(AUTOSCALED, number=number) for number in range(3))
    snapshot = seen(AUTOSCALED, instances=three)
    plan = make_plan(snapshot)
    assert (plan.predictors[0].is_ready, plan.wanted[0].replicas) == (True, 2)
    status = build_status(snapshot, plan)
    assert (status["phase"], status["replicas"], status["readyReplicas"]) == ("Ready", 3, 3)
    one = seen(AUTOSCALED, instances=three[:1])
    assert build_status(one, make_plan(one))["replicas"] == 2


def test_a_new_version_begins_with_as_many_replicas_as_the_autoscaler_gave_the_old_one() -> None:
    better = {**AUTOSCALED, "command": ["serve", "better"]}
    old = tuple(instance(AUTOSCALED, number=number) for number in range(3))
    route = make_plan(seen(AUTOSCALED, instances=old)).route
    snapshot = replace(seen(better, instances=(*old, instance(better)), route=route), last_good=fallback(AUTOSCALED))
    plan = make_plan(snapshot)
    assert plan.wanted[0].replicas == 3
    assert plan.predictors[0].live == workload(AUTOSCALED)


def test_an_autoscaled_predictor_without_replicas_is_off() -> None:
    snapshot = seen({**AUTOSCALED, "replicas": 0})
    assert build_status(snapshot, make_plan(snapshot))["phase"] == "ScaledToZero"


def test_autoscaling_is_not_part_of_what_a_workload_is() -> None:
    assert workload(AUTOSCALED) == workload(MAIN)


def test_a_replica_that_cannot_start_is_told_with_its_reason_once() -> None:
    whole = {**MAIN, "traffic": 100}
    stuck = replace(
        instance(whole, InstancePhase.PENDING), reason="ImagePullBackOff", message="cannot pull the image x:1"
    )
    snapshot = seen(whole, instances=(stuck,))
    assert list(crash_events(snapshot)) == [("Warning", "ImagePullBackOff", "main: cannot pull the image x:1")]
    status = build_status(snapshot, make_plan(snapshot))
    assert status["conditions"][1]["reason"] == "ImagePullBackOff"
    told = replace(snapshot, serving={**snapshot.serving, "status": status})
    assert not list(crash_events(told))
