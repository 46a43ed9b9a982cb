"""Reads the rollout strategy of a Serving. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final

from klever.api.kinds import Object

__all__ = ["EXCEEDED", "Strategy", "has_exceeded", "read_strategy"]

EXCEEDED: Final = "ProgressDeadlineExceeded"
"""The reason of Progressing after the progress deadline."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """With `recreate` the old workload of a predictor ends before the new one starts. `deadline` bounds each step.

    `surge` is the number of replicas above the desired one: a count, or a percentage of the desired number.
    """

    recreate: bool
    deadline: timedelta
    surge: str

    def surge_for(self, replicas: int) -> int:
        """Return the number of replicas allowed above `replicas`, at least one."""
        number, percent, _ = self.surge.partition("%")
        return max(ceil(replicas * int(number) / 100) if percent else int(number), 1)


def read_strategy(serving: Object) -> Strategy:
    """Return the strategy of a Serving."""
    strategy = serving["spec"].get("strategy", {})
    return Strategy(
        recreate=strategy.get("type") == "Recreate",
        deadline=timedelta(seconds=int(strategy.get("progressDeadlineSeconds", 600))),
        surge=str(strategy.get("maxSurge", "100%")),
    )


def has_exceeded(serving: Object) -> bool:
    """Return whether the status reports that the rollout of this spec has exceeded its deadline."""
    said = (serving["metadata"]["generation"], EXCEEDED)
    conditions = serving.get("status", {}).get("conditions", ())
    return any((c.get("observedGeneration"), c["reason"]) == said for c in conditions if c["type"] == "Progressing")
