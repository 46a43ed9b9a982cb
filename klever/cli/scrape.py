"""Computes the load of Servings from the metrics of a platform: rates and latencies between two readings, and
memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from prometheus_client.parser import text_string_to_metric_families

from klever.errors import UnavailableError

__all__ = ["Group", "Reading", "Usage", "quantile", "usages"]

REQUESTS: Final = "envoy_cluster_upstream_rq_total"
CLASSES: Final = "envoy_cluster_upstream_rq_xx"
LATENCIES: Final = "envoy_cluster_upstream_rq_time_bucket"
HEALTHY: Final = "envoy_cluster_membership_healthy"
MEMORY: Final = "klever_replica_memory_bytes"
CPU: Final = "klever_replica_cpu_seconds_total"
_KNOWN: Final = (REQUESTS, CLASSES, LATENCIES, HEALTHY, MEMORY, CPU)

Series = tuple[str, frozenset[tuple[str, str]]]
Group = tuple[str, ...]
"""The values of the labels by which a table groups."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of the known metrics at a time in seconds."""

    time: float
    values: Mapping[Series, float]

    @classmethod
    def parse(cls, time: float, text: str) -> Self:
        """Parse Prometheus's text format. Raises `UnavailableError` if it is another one."""
        lines = "\n".join(line for line in text.splitlines() if line.startswith(_KNOWN))
        try:
            samples = [sample for family in text_string_to_metric_families(lines) for sample in family.samples]
        except ValueError as error:
            raise UnavailableError(f"the metrics cannot be read: {error}") from error
        named = [s for s in samples if "serving" in s.labels]
        return cls(time, {(s.name, frozenset(s.labels.items())): s.value for s in named})

    def predictors(self) -> dict[str, str]:
        """Return the predictor of each workload."""
        labels = (dict(labels) for _, labels in self.values)
        return {of["workload"]: of["predictor"] for of in labels if "predictor" in of and "workload" in of}


@dataclass(frozen=True, slots=True)
class Usage:
    """The load of one group. Latencies are in milliseconds, NaN without requests; `cpu` is in cores."""

    requests: float
    errors: float
    p50: float
    p99: float
    replicas: int
    cpu: float
    memory: float


def usages(before: Reading, after: Reading, by: Sequence[str]) -> dict[Group, Usage]:
    """Return the load between two readings, grouped by these labels, in their order."""
    predictors = after.predictors()
    found: dict[Group, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    buckets: dict[Group, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for name, labels, now, change in _changes(before, after):
        labels.setdefault("predictor", predictors.get(labels.get("workload", ""), ""))
        group = tuple(labels.get(label, "") for label in by)
        if name == LATENCIES:
            buckets[group][float(labels["le"])] += change
        elif name != CLASSES or labels.get("envoy_response_code_class") == "5":
            found[group][name] += now if name == MEMORY else change
        found[group]["replicas"] += name == MEMORY
    seconds = max(after.time - before.time, 1e-9)
    return {group: _usage(values, buckets[group], seconds) for group, values in sorted(found.items())}


def _changes(before: Reading, after: Reading) -> Iterator[tuple[str, dict[str, str], float, float]]:
    """Yield each series with its value and by how much it grew. One that shrank has started again."""
    for (name, labels), now in after.values.items():
        yield name, dict(labels), now, max(now - before.values.get((name, labels), 0.0), 0.0)


def _usage(values: Mapping[str, float], buckets: Mapping[float, float], seconds: float) -> Usage:
    return Usage(
        requests=values.get(REQUESTS, 0.0) / seconds,
        errors=values.get(CLASSES, 0.0) / seconds,
        p50=quantile(buckets, 0.50),
        p99=quantile(buckets, 0.99),
        replicas=int(values.get("replicas", 0)),
        cpu=values.get(CPU, 0.0) / seconds,
        memory=values.get(MEMORY, 0.0),
    )


def quantile(buckets: Mapping[float, float], q: float) -> float:
    """Return a quantile of a cumulative histogram as Prometheus's `histogram_quantile` does; NaN if it is empty."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if not total:
        return math.nan
    low, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= q * total:
            return low if math.isinf(bound) else low + (bound - low) * (q * total - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low
