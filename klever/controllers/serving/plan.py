"""Decides what runs, where traffic goes and what the status says. Pure."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.controllers.serving.replicas import Replicas, merged
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.controllers.serving.workloads import workload_of
from klever.routers import Route, RouteKey, Target
from klever.runtimes import Guard
from klever.runtimes.protocols import WireProtocol
from klever.traffic.matches import Match, header_matches
from klever.traffic.rebalancing import inherit, rebalance
from klever.traffic.replicas import with_replicas
from klever.traffic.shares import read_shares

__all__ = ["Plan", "PredictorPlan", "make_plan"]


@dataclass(frozen=True, slots=True)
class PredictorPlan:
    """One predictor. `wanted` is what its spec asks for, `live` the workload that gets its requests ("" for none)."""

    name: str
    wanted: PredictorWorkload | None
    live: str
    share: int | None
    """Percent of the requests that the spec gives it; None for a predictor with matches."""
    matches: tuple[Match, ...]
    ready: int
    """Replicas of the wanted workload that are Ready."""
    serving: int
    """Replicas of the live workload that are Ready."""
    message: str
    failed: bool
    """Whether it cannot become ready as it is."""
    worst: Instance | None = None
    """The replica of the wanted workload that is farthest from Ready; None if enough of them are."""

    @property
    def is_ready(self) -> bool:
        """Whether all that the spec asks for takes the requests."""
        return self.wanted is not None and self.live == self.wanted.id and self.ready >= self.wanted.replicas

    @property
    def is_off(self) -> bool:
        """Whether the spec asks for no replicas."""
        return self.wanted is not None and self.wanted.replicas == 0

    @property
    def has_crashed(self) -> bool:
        """Whether a replica ended, or cannot start, and is tried again."""
        return self.worst is not None and (self.worst.phase is InstancePhase.BACK_OFF or bool(self.worst.reason))


@dataclass(frozen=True, slots=True)
class Plan:
    predictors: tuple[PredictorPlan, ...]
    route: Route
    running: tuple[PredictorWorkload, ...]
    """What shall run: what the predictors want, and what the last good revision runs until that takes the requests.

    Predictors that run the same share one workload.
    """
    keep: frozenset[str]
    """Other workloads that still get requests: to be left as they are."""
    retired: tuple[str, ...]
    """Revisions that the published route names and the new one does not: to be drained."""
    trouble: str = ""
    """Why it could not be applied; empty if it was."""
    refused: bool = False
    """Whether it cannot be applied as it is: it is not tried again."""

    @property
    def wanted(self) -> tuple[PredictorWorkload, ...]:
        return _wanted(self.predictors)

    def failed(self, snapshot: Snapshot, why: str, *, refused: bool = False) -> Plan:
        """Return the plan that was not applied: what is published is still what it was."""
        return replace(self, route=snapshot.route or Route(self.route.key, ()), trouble=why, refused=refused)


def make_plan(snapshot: Snapshot) -> Plan:
    """Plan a Serving."""
    replicas = Replicas(snapshot.instances)
    predictors = _predictors(snapshot, replicas)
    endpoints = _Endpoints(replicas, {w.id: w.replicas for w in merged(_wanted(predictors))})
    targets = [_target(snapshot, endpoints, p) for p in predictors]
    awaited = sum(t.weight for p, t in zip(predictors, targets, strict=True) if _is_awaited(p, t))
    route = _route(snapshot, [*targets, *_departing(snapshot, endpoints, {p.name for p in predictors}, awaited)])
    running = merged(_wanted(predictors), _fallbacks(snapshot, predictors, awaited))
    live = {(t.predictor, t.workload) for t in route.targets if t.http}
    before = {(t.predictor, t.workload) for t in snapshot.route.targets if t.http} if snapshot.route else set()
    return Plan(
        predictors=predictors,
        route=route,
        running=tuple(replicas.held(workload) for workload in running),
        keep=frozenset(workload for _, workload in live) - {w.id for w in running},
        retired=tuple(sorted({workload for _, workload in before - live})),
    )


def _wanted(predictors: Iterable[PredictorPlan]) -> tuple[PredictorWorkload, ...]:
    return tuple(p.wanted for p in predictors if p.wanted is not None)


def _predictors(snapshot: Snapshot, replicas: Replicas) -> tuple[PredictorPlan, ...]:
    """Plan the predictors in order: of a workload that several use the first counts its replicas first."""
    spec = with_replicas(snapshot.serving["spec"])
    shares = read_shares(spec)
    counted: Counter[str] = Counter()
    plans = []
    for predictor in spec:
        plan = _predictor(snapshot, replicas, counted, predictor, shares.get(predictor["name"]))
        if plan.wanted is not None:
            counted[plan.wanted.id] += plan.wanted.replicas
        plans.append(plan)
    return tuple(plans)


def _predictor(
    snapshot: Snapshot, replicas: Replicas, counted: Counter[str], predictor: dict[str, Any], share: int | None
) -> PredictorPlan:
    name = predictor["name"]
    model = snapshot.models[name]
    wanted, ready, message, failed = None, 0, model.message, model.state in (Resolution.FAILED, Resolution.DENIED)
    if violations := snapshot.violations.get(name):
        message, failed = "; ".join(map(str, violations)), True
    elif model.state is Resolution.RESOLVED:
        wanted = workload_of(predictor, model)
        ready = max(min(replicas.ready(wanted.id) - counted[wanted.id], wanted.replicas), 0)
    worst = None
    if wanted is not None and ready < wanted.replicas:
        worst = _worst(replicas.of(wanted.id))
        message, failed = _trouble(worst), worst is not None and worst.phase is InstancePhase.FAILED
    live = _live_workload(snapshot, replicas, name, wanted)
    serving = ready if wanted is not None and live == wanted.id else replicas.ready(live)
    return PredictorPlan(name, wanted, live, share, header_matches(predictor), ready, serving, message, failed, worst)


def _worst(instances: list[Instance]) -> Instance | None:
    order = (InstancePhase.FAILED, InstancePhase.BACK_OFF, InstancePhase.PENDING, InstancePhase.STARTING)
    return next((i for phase in order for i in instances if i.phase is phase), None)


def _trouble(worst: Instance | None) -> str:
    """Say why replicas are not ready: the worst one speaks for all."""
    return (worst.message or f"{worst.name} is {worst.phase}") if worst is not None else "waiting for its processes"


def _fallbacks(snapshot: Snapshot, predictors: tuple[PredictorPlan, ...], awaited: int) -> Iterator[PredictorWorkload]:
    """Yield what the last good revision runs for predictors that do not serve as they shall yet.

    A predictor that the spec does not name any more runs on while a share is awaited.
    """
    serving = {p.name for p in predictors if p.wanted is not None and p.live == p.wanted.id}
    named = {p.name for p in predictors}
    for name, fallback in snapshot.last_good.items():
        if name not in serving if name in named else awaited and fallback.share is not None:
            yield fallback.workload


def _live_workload(snapshot: Snapshot, replicas: Replicas, name: str, wanted: PredictorWorkload | None) -> str:
    """Choose the workload that gets the requests: the new one once it is all ready, the old one until then.

    The old one is what is published, or else what the last good revision runs.
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


def _route(snapshot: Snapshot, targets: list[Target]) -> Route:
    metadata = snapshot.serving["metadata"]
    return Route(RouteKey(metadata["namespace"], metadata["name"]), _rebalanced(snapshot, targets))


def _is_awaited(predictor: PredictorPlan, target: Target) -> bool:
    """Say whether it shall take a share and cannot yet."""
    return not target.matches and not target.http and not predictor.is_off


def _departing(snapshot: Snapshot, endpoints: _Endpoints, named: set[str], share: int) -> list[Target]:
    """Return the targets of predictors that the spec does not name any more: they take the share of those awaited.

    They are published, or the last good revision runs them.
    """
    published = snapshot.route.targets if snapshot.route else ()
    left = [t for t in published if t.predictor not in named and not t.matches and t.weight > 0]
    able = [t for t in map(endpoints.reach, left) if t.http]
    for name, last in snapshot.last_good.items():
        if name not in named and last.share and name not in {t.predictor for t in able}:
            target = endpoints.reach(Target(name, last.workload.id, last.protocol, last.share, ()))
            able += [target] if target.http else []
    weights = inherit({t.predictor: t.weight for t in able}, share)
    return [replace(t, weight=weights[t.predictor]) for t in able if t.predictor in weights]


def _target(snapshot: Snapshot, endpoints: _Endpoints, predictor: PredictorPlan) -> Target:
    target = Target(
        predictor=predictor.name,
        workload=predictor.live,
        protocol=_protocol(snapshot, predictor),
        weight=predictor.share or 0,
        http=(),
        matches=predictor.matches,
    )
    return endpoints.reach(target)


def _protocol(snapshot: Snapshot, predictor: PredictorPlan) -> WireProtocol:
    """Return what the live workload speaks: an older one keeps what it was published with."""
    wanted = snapshot.models[predictor.name].protocol
    if predictor.wanted is not None and predictor.live == predictor.wanted.id:
        return wanted
    fallback = snapshot.last_good.get(predictor.name)
    if fallback is not None and predictor.live == fallback.workload.id:
        return fallback.protocol
    published = snapshot.route.targets if snapshot.route else ()
    live = (predictor.name, predictor.live)
    return next((t.protocol for t in published if (t.predictor, t.workload) == live), wanted)


class _Endpoints:
    """Where targets are reached. `wanted` is the number of replicas by workload."""

    def __init__(self, replicas: Replicas, wanted: Mapping[str, int]) -> None:
        self._replicas = replicas
        self._wanted = wanted

    def reach(self, target: Target) -> Target:
        """Return the target with the endpoints of its replicas that are ready and stay. Replicas may share one."""
        ready = self._replicas.staying(target.workload, self._wanted.get(target.workload, sys.maxsize))
        http, grpc = {i.http for i in ready if i.http}, {i.grpc for i in ready if i.grpc}
        guard = next((i.guard for i in ready if i.guard), Guard.NONE)
        return replace(target, http=tuple(sorted(http)), grpc=tuple(sorted(grpc)), guard=guard)


def _rebalanced(snapshot: Snapshot, targets: list[Target]) -> tuple[Target, ...]:
    """Return the targets with live shares: a canary that crashes, or is not up yet, costs no request."""
    weights = {t.predictor: t.weight for t in targets if not t.matches}
    up = {t.predictor for t in targets if not t.matches and t.http}
    if not any(weights[name] for name in up):
        weights = _earlier_weights(snapshot, weights, up)
    shares = rebalance(weights, up)
    return tuple(t if t.matches else replace(t, weight=shares[t.predictor]) for t in targets)


def _earlier_weights(snapshot: Snapshot, weights: dict[str, int], up: set[str]) -> dict[str, int]:
    """Return the shares that predictors had before: those that shall have all requests are not up.

    The weights stay as they are if none that is up had a share.
    """
    published = snapshot.route.targets if snapshot.route else ()
    before = {name: last.share or 0 for name, last in snapshot.last_good.items()}
    before |= {t.predictor: t.weight for t in published if not t.matches and t.weight}
    earlier = {name: before.get(name, 0) for name in weights}
    return earlier if any(earlier[name] for name in up) else weights
