"""Computes the progress of a rollout and the time that it has left. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from klever.api.kinds import Object
from klever.api.text import format_time, parse_time
from klever.backends import InstancePhase
from klever.controllers.serving.plan import Plan
from klever.controllers.serving.predictors import PredictorPlan
from klever.controllers.serving.snapshot import Snapshot
from klever.controllers.serving.strategy import read_strategy

__all__ = ["DONE", "is_complete", "is_progressing", "progress_time", "time_left"]

DONE: Final = ("Complete", "ScaledToZero")
"""The reasons of Progressing once the spec is rolled out."""


def is_complete(plan: Plan) -> bool:
    """Return whether the spec is rolled out."""
    return not plan.trouble and all(p.is_ready for p in plan.predictors)


def progress_time(snapshot: Snapshot, plan: Plan, predictors: Sequence[Mapping[str, Any]]) -> str:
    """Return the time of the last progress, for the status. `predictors` are the new statuses of the predictors.

    Progress is a new spec, a model that was resolved, a replica that became ready, or a step of its preparation.
    """
    old = snapshot.serving.get("status", {})
    known = str(old.get("progressTime", ""))
    if known and not _begins(snapshot, plan) and not _advances(old, plan, predictors):
        return known
    return format_time(snapshot.now)


def is_progressing(status: Object) -> bool:
    """Return whether a status reports a rollout under way."""
    return any((c["type"], c["status"]) == ("Progressing", "True") for c in status.get("conditions", ()))


def time_left(snapshot: Snapshot, progress: str) -> timedelta:
    """Return the time until the progress deadline of a rollout that last progressed at the given time."""
    return parse_time(progress) + read_strategy(snapshot.serving).deadline - snapshot.now


def _begins(snapshot: Snapshot, plan: Plan) -> bool:
    old, generation = snapshot.serving.get("status", {}), snapshot.serving["metadata"]["generation"]
    if old.get("observedGeneration") != generation:
        return True
    was_done = any(c["type"] == "Progressing" and c["reason"] in DONE for c in old.get("conditions", ()))
    return was_done and not is_complete(plan)


def _advances(old: Object, plan: Plan, predictors: Sequence[Mapping[str, Any]]) -> bool:
    before = {p["name"]: p for p in old.get("predictors", ())}
    return any(
        _advanced(before.get(status["name"], {}), predictor, status)
        for predictor, status in zip(plan.predictors, predictors, strict=True)
    )


def _advanced(old: Mapping[str, Any], predictor: PredictorPlan, new: Mapping[str, Any]) -> bool:
    worst = predictor.worst
    prepares = worst is not None and worst.phase is InstancePhase.PENDING and not worst.reason
    return (
        new["updatedReplicas"] > old.get("updatedReplicas", 0)
        or new.get("digest", "") != old.get("digest", "")
        or (prepares and new["message"] != old.get("message"))
    )
