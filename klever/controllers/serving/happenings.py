"""Computes the events of a Serving. Each has a type, a reason and a message. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from klever.backends import InstancePhase
from klever.controllers.serving.snapshot import Snapshot

__all__ = ["crash_events", "status_events"]

Happening = tuple[str, str, str]
"""The type (Normal or Warning), the reason and the message."""


def status_events(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Happening]:
    """Yield an event for a new phase, and one for new traffic shares."""
    if old.get("phase") != new["phase"]:
        kind = "Warning" if new["phase"] in ("Degraded", "Failed") else "Normal"
        yield kind, new["phase"], _why(new)
    if old.get("trafficSummary", "") != new["trafficSummary"]:
        yield "Normal", "TrafficChanged", new["trafficSummary"] or "none"


def _why(status: dict[str, Any]) -> str:
    """Return the message of the condition that explains the phase: Ready, or Progressing if Ready is True."""
    ready, progressing = status["conditions"][:2]
    told = ready if ready["status"] == "False" or progressing["status"] == "False" else progressing
    return str(told["message"][:1024])


def crash_events(snapshot: Snapshot) -> Iterator[Happening]:
    """Yield an event for each replica that ended, or cannot start, since the last status, without lines of its log."""
    old = snapshot.serving.get("status", {})
    known = {p["name"]: p.get("message", "") for p in old.get("predictors", [])}
    for instance in snapshot.instances:
        if instance.message == known.get(instance.predictor):
            continue
        first = instance.message.partition("\n")[0]
        if instance.phase is InstancePhase.BACK_OFF:
            yield "Warning", "BackOff", f"{instance.predictor}: {instance.reason or 'ended'}: {first}"
        elif instance.phase is InstancePhase.PENDING and instance.reason and not instance.reason.isupper():
            yield "Warning", instance.reason, f"{instance.predictor}: {first}"
