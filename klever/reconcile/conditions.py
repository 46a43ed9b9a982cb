"""Conditions as in Kubernetes' metav1: the transition time changes only with the status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from klever.api.kinds import Object
from klever.api.text import format_time

__all__ = ["Condition", "merge_conditions"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition. `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str = ""


def merge_conditions(
    old: Iterable[Object], new: Iterable[Condition], *, generation: int, now: datetime
) -> list[Object]:
    """Return `new` as objects, with the transition times of `old` if the status is unchanged."""
    before = {c["type"]: c for c in old}
    merged = []
    for condition in new:
        last = before.get(condition.type)
        same = last is not None and last.get("status") == condition.status
        merged.append(
            {
                "type": condition.type,
                "status": condition.status,
                "observedGeneration": generation,
                "lastTransitionTime": last["lastTransitionTime"] if same and last else format_time(now),
                "reason": condition.reason,
                "message": condition.message,
            }
        )
    return merged
