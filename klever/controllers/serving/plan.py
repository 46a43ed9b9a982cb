"""Decides what runs, where traffic goes and what the status says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from klever.backends import PredictorWorkload
from klever.controllers.serving.predictors import PredictorPlan, plan_predictors
from klever.controllers.serving.replicas import Replicas, merged
from klever.controllers.serving.routing import Endpoints, awaited_share, route_of
from klever.controllers.serving.snapshot import Snapshot
from klever.controllers.serving.strategy import read_strategy
from klever.routers import Route

__all__ = ["Plan", "make_plan"]


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
    recreates: bool = False
    """Whether replicas start only when those that end have ended."""

    @property
    def wanted(self) -> tuple[PredictorWorkload, ...]:
        return tuple(_wanted(self.predictors))

    def failed(self, snapshot: Snapshot, why: str, *, refused: bool = False) -> Plan:
        """Return the plan that was not applied: what is published is still what it was."""
        return replace(self, route=snapshot.route or Route(self.route.key, ()), trouble=why, refused=refused)


def make_plan(snapshot: Snapshot) -> Plan:
    """Plan a Serving."""
    replicas = Replicas(snapshot.instances)
    predictors = plan_predictors(snapshot, replicas)
    wanted = tuple(_wanted(predictors))
    route = route_of(snapshot, predictors, Endpoints(replicas, _counts(predictors)))
    running = merged(wanted, _fallbacks(snapshot, predictors, awaited_share(predictors, route.targets)))
    if recreates := read_strategy(snapshot.serving).recreate:
        running = replicas.after_the_old(running)
    live = {(t.predictor, t.workload) for t in route.targets if t.http}
    before = {(t.predictor, t.workload) for t in snapshot.route.targets if t.http} if snapshot.route else set()
    return Plan(
        predictors=predictors,
        route=route,
        running=tuple(replicas.held(workload) for workload in running),
        keep=frozenset(workload for _, workload in live) - {w.id for w in running},
        retired=tuple(sorted({workload for _, workload in before - live})),
        recreates=recreates,
    )


def _wanted(predictors: Iterable[PredictorPlan]) -> Iterator[PredictorWorkload]:
    for predictor in predictors:
        if predictor.wanted is not None and not predictor.abandoned:
            step = predictor.step
            yield replace(predictor.wanted, replicas=step.new) if step else predictor.wanted


def _counts(predictors: Iterable[PredictorPlan]) -> dict[str, int]:
    """Return how many replicas of each workload take requests at the most. Those of others all do."""
    counts = {w.id: w.replicas for w in merged(p.wanted for p in predictors if p.wanted is not None)}
    for predictor in predictors:
        if predictor.step is not None:
            counts[predictor.step.old_id] = max(predictor.step.old, counts.get(predictor.step.old_id, 0))
    return counts


def _fallbacks(snapshot: Snapshot, predictors: Sequence[PredictorPlan], awaited: int) -> Iterator[PredictorWorkload]:
    """Yield what the last good revision runs for predictors that do not serve as they shall yet.

    A predictor that the spec does not name any more runs on while a share is awaited. With the strategy Recreate
    neither does.
    """
    done = {p.name for p in predictors if p.gap or (p.wanted is not None and p.live == p.wanted.id)}
    named = {p.name for p in predictors}
    gap = any(p.gap for p in predictors)
    steps = {p.name: p.step for p in predictors}
    for name, fallback in snapshot.last_good.items():
        if name not in done if name in named else awaited and not gap and fallback.share is not None:
            step = steps.get(name)
            yield replace(fallback.workload, replicas=step.old) if step else fallback.workload
