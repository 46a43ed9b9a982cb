"""Computes the route of a Serving. Pure functions."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from klever.controllers.serving.predictors import PredictorPlan
from klever.controllers.serving.replicas import Replicas
from klever.controllers.serving.snapshot import Snapshot
from klever.routers import TIMEOUT_SECONDS, Route, RouteKey, Target
from klever.runtimes import Guard
from klever.runtimes.protocols import WireProtocol
from klever.traffic.rebalancing import inherit, rebalance

__all__ = ["Endpoints", "awaited_share", "build_route"]


def build_route(snapshot: Snapshot, predictors: Sequence[PredictorPlan], endpoints: Endpoints) -> Route:
    """Return the route of a Serving. Predictors that are up take the shares of those that are not."""
    metadata = snapshot.serving["metadata"]
    targets = [_target(snapshot, endpoints, p) for p in predictors]
    awaited = awaited_share(predictors, targets)
    departing = (
        () if any(p.gap for p in predictors) else _departing(snapshot, endpoints, {p.name for p in predictors}, awaited)
    )
    spec = snapshot.serving["spec"]
    most = int(spec.get("maxConcurrency", 0))
    shared = _rebalanced(snapshot, [*targets, *departing])
    return Route(
        RouteKey(metadata["namespace"], metadata["name"]),
        tuple(replace(target, max_requests=most) for target in shared),
        int(spec.get("retries", 0)),
        metadata.get("uid", ""),
        int(spec.get("timeoutSeconds", TIMEOUT_SECONDS)),
    )


def awaited_share(predictors: Sequence[PredictorPlan], targets: Iterable[Target]) -> int:
    """Return the percentage of requests that belongs to predictors that are not ready."""
    reached = {t.predictor for t in targets if t.http}
    return sum(p.share or 0 for p in predictors if p.name not in reached and not p.is_off)


def _departing(snapshot: Snapshot, endpoints: Endpoints, named: set[str], share: int) -> list[Target]:
    """Return the targets of predictors that the spec no longer names. They take the shares of predictors not yet ready.

    Such predictors are in the published route or in the last good revision.
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


def _target(snapshot: Snapshot, endpoints: Endpoints, predictor: PredictorPlan) -> Target:
    target = Target(
        predictor=predictor.name,
        workload=predictor.live,
        protocol=_protocol(snapshot, predictor),
        weight=predictor.share or 0,
        http=(),
        matches=predictor.matches,
    )
    beside = predictor.wanted.id if predictor.step is not None and predictor.wanted is not None else ""
    return endpoints.reach(target, beside)


def _protocol(snapshot: Snapshot, predictor: PredictorPlan) -> WireProtocol:
    """Return the protocol of the live workload. An older workload keeps the protocol of its published target."""
    wanted = snapshot.models[predictor.name].protocol
    if predictor.wanted is not None and predictor.live == predictor.wanted.id:
        return wanted
    fallback = snapshot.last_good.get(predictor.name)
    if fallback is not None and predictor.live == fallback.workload.id:
        return fallback.protocol
    published = snapshot.route.targets if snapshot.route else ()
    live = (predictor.name, predictor.live)
    return next((t.protocol for t in published if (t.predictor, t.workload) == live), wanted)


class Endpoints:
    """Finds the endpoints of targets. `wanted` is the number of replicas by workload."""

    def __init__(self, replicas: Replicas, wanted: Mapping[str, int]) -> None:
        self._replicas = replicas
        self._wanted = wanted

    def reach(self, target: Target, beside: str = "") -> Target:
        """Return the target with the endpoints of its ready replicas that remain. Replicas may share an endpoint.

        `beside` is the id of another workload that shares the requests, or "".
        """
        workloads = [workload for workload in (target.workload, beside) if workload]
        ready = [i for w in workloads for i in self._replicas.staying(w, self._wanted.get(w, sys.maxsize))]
        http, grpc = {i.http for i in ready if i.http}, {i.grpc for i in ready if i.grpc}
        guard = next((i.guard for i in ready if i.guard), Guard.NONE)
        return replace(target, http=tuple(sorted(http)), grpc=tuple(sorted(grpc)), guard=guard)


def _rebalanced(snapshot: Snapshot, targets: list[Target]) -> tuple[Target, ...]:
    """Return the targets with live shares, so that a canary that crashes or is not up yet costs no request."""
    weights = {t.predictor: t.weight for t in targets if not t.matches}
    up = {t.predictor for t in targets if not t.matches and t.http}
    if not any(weights[name] for name in up):
        weights = _earlier_weights(snapshot, weights, up)
    shares = rebalance(weights, up)
    return tuple(t if t.matches else replace(t, weight=shares[t.predictor]) for t in targets)


def _earlier_weights(snapshot: Snapshot, weights: dict[str, int], up: set[str]) -> dict[str, int]:
    """Return the previous shares, because no predictor with a share in the spec is up.

    Return the weights unchanged if no predictor that is up had a share.
    """
    published = snapshot.route.targets if snapshot.route else ()
    before = {name: last.share or 0 for name, last in snapshot.last_good.items()}
    before |= {t.predictor: t.weight for t in published if not t.matches and t.weight}
    earlier = {name: before.get(name, 0) for name in weights}
    return earlier if any(earlier[name] for name in up) else weights
