"""How a new workload replaces an old one, as a spec says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from klever.api.kinds import Object

__all__ = ["EXCEEDED", "Strategy", "has_exceeded", "read_strategy"]

EXCEEDED: Final = "ProgressDeadlineExceeded"
"""Reason of Progressing when a rollout has taken too long."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """With `recreate` the old workload of a predictor ends before the new one starts. `deadline` is for each step."""

    recreate: bool
    deadline: timedelta


def read_strategy(serving: Object) -> Strategy:
    """Return the strategy of a Serving."""
    strategy = serving["spec"].get("strategy", {})
    return Strategy(
        recreate=strategy.get("type") == "Recreate",
        deadline=timedelta(seconds=int(strategy.get("progressDeadlineSeconds", 600))),
    )


def has_exceeded(serving: Object) -> bool:
    """Say whether the status says of this very spec that its rollout has taken too long."""
    said = (serving["metadata"]["generation"], EXCEEDED)
    conditions = serving.get("status", {}).get("conditions", ())
    return any((c.get("observedGeneration"), c["reason"]) == said for c in conditions if c["type"] == "Progressing")
