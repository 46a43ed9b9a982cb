"""How a new workload replaces an old one, as a spec says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final

from klever.api.kinds import Object

__all__ = ["EXCEEDED", "Strategy", "has_exceeded", "read_strategy"]

EXCEEDED: Final = "ProgressDeadlineExceeded"
"""Reason of Progressing when a rollout has taken too long."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """With `recreate` the old workload of a predictor ends before the new one starts. `deadline` is for each step.

    `surge` is how many replicas may run beside those that are wanted: a number, or a percentage of those.
    """

    recreate: bool
    deadline: timedelta
    surge: str

    def surge_of(self, replicas: int) -> int:
        """Return how many replicas may run beside so many, at least one."""
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
    """Say whether the status says of this very spec that its rollout has taken too long."""
    said = (serving["metadata"]["generation"], EXCEEDED)
    conditions = serving.get("status", {}).get("conditions", ())
    return any((c.get("observedGeneration"), c["reason"]) == said for c in conditions if c["type"] == "Progressing")
