"""The conditions for which a caller waits, and the problems that they report. Pure."""

from __future__ import annotations

from typing import Any

from klever.errors import FailedPreconditionError
from klever.v1alpha1.serving_pb2 import Serving

__all__ = ["holds", "progress", "why"]

_TROUBLE_IF_TRUE = frozenset(("Progressing",))
"""The conditions that report a problem while they are True. The others report one while they are False."""


def holds(obj: Any, what: str, wanted: str, status: str) -> bool:
    """Return whether a condition holds for the object's current spec.

    A Serving is Ready while its previous predictors answer. Here it must also have rolled out its spec. Raises
    `FailedPreconditionError` if the condition can no longer hold.
    """
    current = {c.type: c for c in obj.status.conditions if c.observed_generation == obj.metadata.generation}
    if status == "True" and (failure := _final_failure(current, wanted)):
        raise FailedPreconditionError(f"{what} failed: {failure}; run `klever describe {what}` for details")
    rolling = wanted == "Ready" and status == "True" and _is(current, "Progressing", "True")
    return _is(current, wanted, status) and not rolling


def progress(obj: Any) -> str:
    """Return the progress: `Deploying 0/1: main: the model is being unpacked`."""
    status = obj.status
    message = getattr(status, "message", "") or next(iter(_troubles(obj, "Ready", "Progressing")), "")
    count = f" {status.ready_replicas}/{status.replicas}" if isinstance(obj, Serving) else ""
    state = f"{status.phase or 'Pending'}{count}"
    return f"{state}: {message}" if message else state


def why(obj: Any) -> str:
    """Return the problems of an object, which is None if the server did not answer."""
    if obj is None:
        return "its state is unknown, because the server did not answer: try again"
    return "; ".join(_troubles(obj)) or f"its phase is {obj.status.phase or 'unknown'}"


def _is(conditions: dict[str, Any], name: str, status: str) -> bool:
    return name in conditions and bool(conditions[name].status == status)


def _final_failure(current: dict[str, Any], wanted: str) -> str:
    """Return why the condition cannot hold for this generation; empty if it can."""
    if wanted == "Complete" and "Failed" in current and current["Failed"].status == "True":
        return str(current["Failed"].message or current["Failed"].reason)
    if wanted == "Failed" and _is(current, "Complete", "True"):
        return "it succeeded"
    if wanted == "Ready" and _is(current, "Progressing", "False") and current["Progressing"].reason != "Complete":
        return str(current["Progressing"].message or current["Progressing"].reason)
    return ""


def _troubles(obj: Any, *types: str) -> list[str]:
    """Return the problems that the conditions, or those of some types, report. Each message comes once."""
    found: dict[str, str] = {}
    for condition in obj.status.conditions:
        is_trouble = condition.status == ("True" if condition.type in _TROUBLE_IF_TRUE else "False")
        if is_trouble and condition.message and condition.type in (types or (condition.type,)):
            found.setdefault(condition.message, condition.message if types else _told(condition))
    return list(found.values())


def _told(condition: Any) -> str:
    return f"{condition.type}={condition.status}: {condition.message}"
