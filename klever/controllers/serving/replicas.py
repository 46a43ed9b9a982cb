"""The replicas of a Serving as they are seen, by workload. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from klever.backends import Instance, InstancePhase, PredictorWorkload

__all__ = ["Replicas", "merged"]


class Replicas:
    """What runs now. A workload may belong to several predictors."""

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
        """Return the replicas that are Ready and stay if the workload has this many, none of them for 0.

        While none that stays is Ready, those that are surplus take the requests.
        """
        ready = self._ready(workload)
        return [i for i in ready if i.index < replicas] or (ready if replicas else [])

    def held(self, workload: PredictorWorkload) -> PredictorWorkload:
        """Return the workload with the surplus replicas that take its requests still."""
        indices = [i.index for i in self.staying(workload.id, workload.replicas)]
        return replace(workload, replicas=max([workload.replicas, *(index + 1 for index in indices)]))

    def with_surplus(self, workload: PredictorWorkload) -> PredictorWorkload:
        """Return the workload with every replica that runs now."""
        indices = [i.index for i in self.of(workload.id)]
        return replace(workload, replicas=max([workload.replicas, *(index + 1 for index in indices)]))

    def after_the_old(self, workloads: tuple[PredictorWorkload, ...]) -> tuple[PredictorWorkload, ...]:
        """Return those that may run while other workloads run still: those that have replicas already."""
        ids = {workload.id for workload in workloads}
        alone = all(workload in ids for workload in self._by_workload)
        return workloads if alone else tuple(w for w in workloads if self.of(w.id))

    def _ready(self, workload: str) -> list[Instance]:
        return [i for i in self.of(workload) if i.phase is InstancePhase.READY]


def merged(*groups: Iterable[PredictorWorkload]) -> tuple[PredictorWorkload, ...]:
    """Return each workload once, with the sum of its replicas in a group, and the most of all groups."""
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
