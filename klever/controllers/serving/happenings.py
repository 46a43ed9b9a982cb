"""The events of a Serving: each has a type, a reason and a message. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from klever.backends import InstancePhase
from klever.controllers.serving.snapshot import Snapshot

__all__ = ["changes_of", "crashes_of"]

Happening = tuple[str, str, str]
"""Normal or Warning, the reason, and the message."""


def changes_of(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Happening]:
    """Yield what a new status says that the old one did not: another phase, and the shares that became live."""
    if old.get("phase") != new["phase"]:
        kind = "Warning" if new["phase"] in ("Degraded", "Failed") else "Normal"
        yield kind, new["phase"], _why(new)
    if old.get("trafficSummary", "") != new["trafficSummary"]:
        yield "Normal", "TrafficChanged", new["trafficSummary"] or "none"


def _why(status: dict[str, Any]) -> str:
    """Return the message of the condition that tells the phase: Progressing if Ready is True all the same."""
    ready, progressing = status["conditions"][:2]
    told = ready if ready["status"] == "False" or progressing["status"] == "False" else progressing
    return str(told["message"][:1024])


def crashes_of(snapshot: Snapshot) -> Iterator[Happening]:
    """Yield each replica that ended since the status was written, without the log's last lines."""
    old = snapshot.serving.get("status", {})
    known = {p["name"]: p.get("message", "") for p in old.get("predictors", [])}
    for instance in snapshot.instances:
        if instance.phase is InstancePhase.BACK_OFF and instance.message != known.get(instance.predictor):
            first = instance.message.partition("\n")[0]
            yield "Warning", "BackOff", f"{instance.predictor}: {instance.reason or 'ended'}: {first}"
