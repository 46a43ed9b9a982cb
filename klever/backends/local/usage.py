"""The memory and CPU time of the replicas on this machine, as metrics."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from klever.backends import ServingKey
from klever.backends.local.record import PROCESS_PREFIX, Slot
from klever.process.record import Record
from klever.process.shim.proc import cpu_ticks, descendants, memory

__all__ = ["ReplicaUsage"]

_LABELS: Final = ("namespace", "serving", "workload", "instance_name")


class ReplicaUsage(Collector):
    """Reads /proc for each replica whose record is below `processes`. A process that ends takes its CPU time along."""

    def __init__(self, processes: Path, ticks_per_second: int) -> None:
        self._processes = processes
        self._ticks_per_second = ticks_per_second

    def collect(self) -> Iterator[Metric]:
        held = GaugeMetricFamily("klever_replica_memory_bytes", "Memory of a replica", labels=_LABELS)
        used = CounterMetricFamily("klever_replica_cpu_seconds", "CPU time of a replica", labels=_LABELS)
        for slot, pids in self._running():
            labels = (slot.key.namespace, slot.key.name, slot.workload, slot.name)
            held.add_metric(labels, memory(pids, sys.maxsize))
            used.add_metric(labels, cpu_ticks(pids) / self._ticks_per_second)
        yield held
        yield used

    def _running(self) -> Iterator[tuple[Slot, list[int]]]:
        for directory in sorted(self._processes.glob(f"{PROCESS_PREFIX}*")):
            record = Record.read(directory)
            shim = record.shim if record else None
            if shim is not None:
                _, namespace, name, workload, index = directory.name.split(".")
                yield Slot(ServingKey(namespace, name), workload, int(index)), descendants(shim)
