"""Plans each predictor of a Serving. Pure functions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.controllers.serving.replicas import Replicas
from klever.controllers.serving.snapshot import Resolution, Snapshot, read_pin
from klever.controllers.serving.strategy import has_exceeded, read_strategy
from klever.controllers.serving.workloads import build_workload
from klever.traffic.matches import Match, header_matches
from klever.traffic.replicas import with_replicas
from klever.traffic.shares import read_shares

__all__ = ["PredictorPlan", "Step", "plan_predictors"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a rolling update: `new` replicas serve beside `old` ones of the workload `old_id`."""

    new: int
    old: int
    old_id: str


@dataclass(frozen=True, slots=True)
class PredictorPlan:
    """The plan of one predictor. `wanted` is the workload of its spec. `live` is the id of the workload that receives
    its requests, or ""."""

    name: str
    wanted: PredictorWorkload | None
    live: str
    share: int | None
    """The share of the requests in the spec, in percent. None for a predictor with matches."""
    matches: tuple[Match, ...]
    ready: int
    """The number of Ready replicas of the wanted workload."""
    serving: int
    """The number of Ready replicas of the live workload."""
    message: str
    failed: bool
    """Whether it cannot become ready without a change of the spec."""
    worst: Instance | None = None
    """The replica of the wanted workload that is farthest from Ready. None if enough replicas are Ready."""
    gap: bool = False
    """Whether the strategy Recreate has ended the old workload, so that nothing serves until the wanted one does."""
    abandoned: bool = False
    """Whether Klever gave the wanted workload up: it exceeded the deadline of Recreate, and the old one serves
    again."""
    step: Step | None = None
    """The current step of the rolling update. None if all replicas are replaced at once."""

    @property
    def is_ready(self) -> bool:
        """Whether the workload of the spec takes all requests of this predictor."""
        return self.wanted is not None and self.live == self.wanted.id and self.ready >= self.wanted.replicas

    @property
    def is_off(self) -> bool:
        """Whether the spec has zero replicas."""
        return self.wanted is not None and self.wanted.replicas == 0

    @property
    def has_crashed(self) -> bool:
        """Whether a replica ended or cannot start, and Klever restarts it."""
        return self.worst is not None and (self.worst.phase is InstancePhase.BACK_OFF or bool(self.worst.reason))


def plan_predictors(snapshot: Snapshot, replicas: Replicas) -> tuple[PredictorPlan, ...]:
    """Plan the predictors in order. Where several share a workload, the first one counts its replicas first."""
    spec = with_replicas(snapshot.serving["spec"])
    shares = read_shares(spec)
    counted: Counter[str] = Counter()
    plans = []
    for predictor in spec:
        plan = _plan(snapshot, replicas, counted, predictor, shares.get(predictor["name"]))
        if plan.wanted is not None:
            counted[plan.wanted.id] += plan.wanted.replicas
        plans.append(plan)
    return tuple(plans)


def _plan(
    snapshot: Snapshot, replicas: Replicas, counted: Counter[str], predictor: dict[str, Any], share: int | None
) -> PredictorPlan:
    name = predictor["name"]
    model = snapshot.models[name]
    matches = header_matches(predictor)
    if violations := snapshot.violations.get(name):
        message, failed = "; ".join(map(str, violations)), True
    else:
        message, failed = model.message, model.state in (Resolution.FAILED, Resolution.DENIED)
    if failed or model.state is not Resolution.RESOLVED:
        live = _live_workload(snapshot, replicas, name, None)
        return PredictorPlan(name, None, live, share, matches, 0, replicas.ready(live), message, failed)
    wanted = _at_size(snapshot, replicas, build_workload(predictor, model))
    most = wanted.autoscaling.most if wanted.autoscaling and wanted.replicas else wanted.replicas
    ready = max(min(replicas.ready(wanted.id) - counted[wanted.id], most), 0)
    plan = PredictorPlan(name, wanted, wanted.id, share, matches, ready, ready, "", failed=False)
    if ready < wanted.replicas:
        worst = _worst(replicas.of(wanted.id))
        failed = worst is not None and worst.phase is InstancePhase.FAILED
        plan = replace(plan, message=_trouble(worst), failed=failed, worst=worst)
        plan = _recreated(snapshot, predictor, plan)
    live = _wanted_alone(replicas, wanted) if plan.gap else _live_workload(snapshot, replicas, name, wanted)
    if step := None if plan.gap or live == wanted.id else _step(snapshot, replicas, name, wanted, ready):
        return replace(plan, live=step.old_id, serving=ready + min(step.old, replicas.ready(step.old_id)), step=step)
    return replace(plan, live=live, serving=ready if live == wanted.id else replicas.ready(live))


def _at_size(snapshot: Snapshot, replicas: Replicas, wanted: PredictorWorkload) -> PredictorWorkload:
    """Return an autoscaled workload with as many replicas as the load needs now: those of the one that it replaces."""
    scaling, fallback = wanted.autoscaling, snapshot.last_good.get(wanted.predictor)
    if scaling is None or not wanted.replicas or fallback is None or fallback.workload.id == wanted.id:
        return wanted
    now = min(len(replicas.of(fallback.workload.id)), scaling.most)
    return replace(wanted, replicas=max(wanted.replicas, now))


def _step(snapshot: Snapshot, replicas: Replicas, name: str, wanted: PredictorWorkload, ready: int) -> Step | None:
    """Return the step of a rolling update whose maxSurge does not admit all new replicas at once, or None.

    One old replica stays for each new one that is missing. Replicas of two protocols cannot share requests.
    """
    strategy, fallback = read_strategy(snapshot.serving), snapshot.last_good.get(name)
    surge = strategy.surge_for(wanted.replicas)
    if strategy.recreate or fallback is None or fallback.workload.id == wanted.id or surge >= wanted.replicas:
        return None
    if fallback.protocol != snapshot.models[name].protocol:
        return None
    old = min(fallback.workload.replicas, max(wanted.replicas - ready, 0))
    room = wanted.replicas + surge - max(old, len(replicas.of(fallback.workload.id)))
    new = min(wanted.replicas, max(room, len(replicas.of(wanted.id)), 0))
    return Step(new, old, fallback.workload.id)


def _recreated(snapshot: Snapshot, predictor: dict[str, Any], plan: PredictorPlan) -> PredictorPlan:
    """Return the plan of a predictor that is not ready, adjusted for the strategy Recreate if the Serving has it."""
    serving = snapshot.serving
    if not read_strategy(serving).recreate or plan.failed:
        return plan
    was_tried = not predictor.get("model") or bool(read_pin(serving, predictor))
    if plan.name in snapshot.last_good and has_exceeded(serving) and was_tried:
        return replace(plan, abandoned=True, message=_told(snapshot, plan.name))
    waits = plan.worst is None and bool(snapshot.instances)
    return replace(plan, gap=True, message="the old processes are ending" if waits else plan.message)


def _told(snapshot: Snapshot, name: str) -> str:
    """Return the message of a predictor in the status."""
    told = snapshot.serving.get("status", {}).get("predictors", ())
    return next((str(p.get("message", "")) for p in told if p["name"] == name), "")


def _wanted_alone(replicas: Replicas, wanted: PredictorWorkload) -> str:
    return wanted.id if replicas.ready(wanted.id) else ""


def _worst(instances: list[Instance]) -> Instance | None:
    order = (InstancePhase.FAILED, InstancePhase.BACK_OFF, InstancePhase.PENDING, InstancePhase.STARTING)
    return next((i for phase in order for i in instances if i.phase is phase), None)


def _trouble(worst: Instance | None) -> str:
    """Explain why replicas are not ready, by the example of the worst one."""
    return (worst.message or f"{worst.name} is {worst.phase}") if worst is not None else "waiting for its processes"


def _live_workload(snapshot: Snapshot, replicas: Replicas, name: str, wanted: PredictorWorkload | None) -> str:
    """Choose the workload that receives the requests: the new one once all its replicas are ready, else the old one.

    The old one is the published one, or else that of the last good revision.
    """
    published = snapshot.route.targets if snapshot.route else ()
    old = next((t.workload for t in published if t.predictor == name and t.http), "")
    fallback = snapshot.last_good.get(name)
    if not replicas.ready(old) and fallback is not None:
        old = fallback.workload.id
    if wanted is not None:
        enough = wanted.replicas if replicas.ready(old) and old != wanted.id else 1
        if wanted.replicas == 0 or replicas.ready(wanted.id) >= enough:
            return wanted.id
    if replicas.ready(old):
        return old
    return wanted.id if wanted is not None and replicas.ready(wanted.id) else ""
