"""Plans which workloads run and where traffic goes. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from klever.backends import PredictorWorkload
from klever.controllers.serving.predictors import PredictorPlan, plan_predictors
from klever.controllers.serving.replicas import Replicas, merged
from klever.controllers.serving.routing import Endpoints, awaited_share, build_route
from klever.controllers.serving.snapshot import Snapshot
from klever.controllers.serving.strategy import read_strategy
from klever.routers import Route

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    predictors: tuple[PredictorPlan, ...]
    route: Route
    running: tuple[PredictorWorkload, ...]
    """The workloads to run: those of the spec, and those of the last good revision until the spec takes the requests.

    Predictors with equal workloads share one.
    """
    keep: frozenset[str]
    """Ids of other workloads that still receive requests. They stay unchanged."""
    retired: tuple[str, ...]
    """Ids of workloads to drain: the published route names them, and the new one does not."""
    trouble: str = ""
    """The reason why the plan could not be applied. Empty if it was applied."""
    refused: bool = False
    """Whether the refusal is final, so that Klever does not try again."""
    recreates: bool = False
    """Whether new replicas start only after the old ones have ended."""

    @property
    def wanted(self) -> tuple[PredictorWorkload, ...]:
        return tuple(_wanted(self.predictors))

    def failed(self, snapshot: Snapshot, why: str, *, refused: bool = False) -> Plan:
        """Return the plan as not applied: the published route stays as it was."""
        return replace(self, route=snapshot.route or Route(self.route.key, ()), trouble=why, refused=refused)


def make_plan(snapshot: Snapshot) -> Plan:
    """Plan a Serving."""
    replicas = Replicas(snapshot.instances)
    predictors = plan_predictors(snapshot, replicas)
    wanted = tuple(_wanted(predictors))
    route = build_route(snapshot, predictors, Endpoints(replicas, _counts(predictors)))
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
    """Return the maximum number of replicas of each workload that take requests. Other workloads have no maximum."""
    counts = {w.id: w.replicas for w in merged(p.wanted for p in predictors if p.wanted is not None)}
    for predictor in predictors:
        if predictor.step is not None:
            counts[predictor.step.old_id] = max(predictor.step.old, counts.get(predictor.step.old_id, 0))
    return counts


def _fallbacks(snapshot: Snapshot, predictors: Sequence[PredictorPlan], awaited: int) -> Iterator[PredictorWorkload]:
    """Yield the workloads of the last good revision for predictors that do not serve their new spec yet.

    A predictor that the spec no longer names keeps running while another waits for its share. With the strategy
    Recreate neither keeps running.
    """
    done = {p.name for p in predictors if p.gap or (p.wanted is not None and p.live == p.wanted.id)}
    named = {p.name for p in predictors}
    gap = any(p.gap for p in predictors)
    steps = {p.name: p.step for p in predictors}
    for name, fallback in snapshot.last_good.items():
        if name not in done if name in named else awaited and not gap and fallback.share is not None:
            step = steps.get(name)
            yield replace(fallback.workload, replicas=step.old) if step else fallback.workload
