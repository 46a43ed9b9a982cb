"""Groups the observed replicas of a Serving by workload. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from klever.backends import Instance, InstancePhase, PredictorWorkload

__all__ = ["Replicas", "merged"]


class Replicas:
    """The replicas that run now. Several predictors may share a workload."""

    def __init__(self, instances: Iterable[Instance]) -> None:
        self._by_workload: dict[str, list[Instance]] = {}
        for instance in instances:
            self._by_workload.setdefault(instance.workload, []).append(instance)

    def of(self, workload: str) -> list[Instance]:
        return self._by_workload.get(workload, [])

    def ready(self, workload: str) -> int:
        """Return how many replicas are Ready."""
        return len(self._ready(workload))

    def staying(self, workload: str, replicas: int) -> list[Instance]:
        """Return the Ready replicas that remain at this number of replicas. For 0 return none.

        While no remaining replica is Ready, the surplus replicas take the requests.
        """
        ready = self._ready(workload)
        return [i for i in ready if i.index < replicas] or (ready if replicas else [])

    def held(self, workload: PredictorWorkload) -> PredictorWorkload:
        """Return the workload including the surplus replicas that still take its requests."""
        indices = [i.index for i in self.staying(workload.id, workload.replicas)]
        return replace(workload, replicas=max([workload.replicas, *(index + 1 for index in indices)]))

    def with_surplus(self, workload: PredictorWorkload) -> PredictorWorkload:
        """Return the workload with all replicas that run now."""
        indices = [i.index for i in self.of(workload.id)]
        return replace(workload, replicas=max([workload.replicas, *(index + 1 for index in indices)]))

    def after_the_old(self, workloads: tuple[PredictorWorkload, ...]) -> tuple[PredictorWorkload, ...]:
        """Return the workloads that already have replicas. They may run while other workloads end."""
        ids = {workload.id for workload in workloads}
        alone = all(workload in ids for workload in self._by_workload)
        return workloads if alone else tuple(w for w in workloads if self.of(w.id))

    def _ready(self, workload: str) -> list[Instance]:
        return [i for i in self.of(workload) if i.phase is InstancePhase.READY]


def merged(*groups: Iterable[PredictorWorkload]) -> tuple[PredictorWorkload, ...]:
    """Return each workload once. Its replicas are summed within a group, and the largest sum of all groups counts."""
    found: dict[str, PredictorWorkload] = {}
    for group in groups:
        for workload in _summed(group):
            known = found.setdefault(workload.id, workload)
            if known.replicas < workload.replicas:
                found[workload.id] = replace(known, replicas=workload.replicas)
    return tuple(found.values())


def _summed(group: Iterable[PredictorWorkload]) -> Iterable[PredictorWorkload]:
    found: dict[str, PredictorWorkload] = {}
    for workload in group:
        known = found.get(workload.id)
        found[workload.id] = workload if known is None else replace(known, replicas=known.replicas + workload.replicas)
    return found.values()
