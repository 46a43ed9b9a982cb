"""Decides the next step of a job, and its status. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from klever.api.kinds import Object
from klever.api.text import format_time, parse_time
from klever.controllers.extraction import CONTENT_ANNOTATION
from klever.executors import TaskState
from klever.reconcile.conditions import Condition, merge_conditions
from klever.reconcile.finalizers import is_held

__all__ = ["FINALIZER", "LOST", "MAX_LOSSES", "Decision", "Snapshot", "decide", "make_status"]

FINALIZER = "kleveross.io/modeljob"

LOST = "Lost"
"""The reason of a task whose machine or supervisor went down. Tasks are repeatable, so it runs again."""
MAX_LOSSES = 5
"""How often a control plane repeats a lost task before its job fails."""

_MAX_REPORT = 1024
"""How many characters of a task's report are kept."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The input of a decision.

    `refusal` is why the job can never run, empty if it can. `losses` is how often its task was lost.
    """

    job: Object
    task: TaskState | None
    refusal: str
    now: datetime
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions, in this order. `status` None leaves it unchanged."""

    add_finalizer: bool = False
    start: bool = False
    cancel_task: bool = False
    """End the task, and keep its log."""
    remove_task: bool = False
    status: dict[str, Any] | None = None
    events: tuple[Event, ...] = field(default=())
    inspection: Any = None
    """The task's inspection of the content. It is untrusted."""
    release: bool = False
    """Remove the finalizer, because the job's task is gone."""
    delete: bool = False
    requeue_after: float | None = None


def decide(snapshot: Snapshot) -> Decision:
    """Return the next step of a job. Pure."""
    metadata = snapshot.job["metadata"]
    if "deletionTimestamp" in metadata:
        return _deleting(snapshot)
    status = snapshot.job.get("status", {})
    if status.get("phase") in ("Succeeded", "Failed"):
        return _ended(snapshot)
    if not is_held(snapshot.job, FINALIZER):
        return Decision(add_finalizer=True, requeue_after=0)
    if snapshot.job["spec"].get("cancel") and not _has_succeeded(snapshot.task):
        return Decision(
            cancel_task=True,
            status=make_status(snapshot, "Failed", "Cancelled", "cancelled before it ended"),
            events=(Event("Normal", "Cancelled", "the task was ended on request"),),
        )
    if snapshot.refusal:
        return Decision(
            status=make_status(snapshot, "Failed", "Invalid", snapshot.refusal),
            events=(Event("Warning", "Invalid", snapshot.refusal),),
        )
    return _progress(snapshot)


def _has_succeeded(task: TaskState | None) -> bool:
    return task is not None and task.phase == "Succeeded"


def _deleting(snapshot: Snapshot) -> Decision:
    if not is_held(snapshot.job, FINALIZER):
        return Decision()
    has_ended = snapshot.job.get("status", {}).get("phase") in ("Succeeded", "Failed")
    status = None if has_ended else make_status(snapshot, "Deleting", "Deleting", "its task is being ended")
    return Decision(remove_task=True, release=True, status=status)


def _ended(snapshot: Snapshot) -> Decision:
    """Keep a finished job and its log until its time to live is over."""
    ttl = snapshot.job["spec"].get("ttlSecondsAfterFinished")
    completed = snapshot.job["status"].get("completionTime")
    if ttl is None or completed is None:
        return Decision()
    left = (parse_time(completed) + timedelta(seconds=ttl) - snapshot.now).total_seconds()
    return Decision(delete=True) if left <= 0 else Decision(requeue_after=left)


def _progress(snapshot: Snapshot) -> Decision:
    task = snapshot.task
    if task is None:
        return Decision(start=True, status=make_status(snapshot, "Pending", "Starting", ""), requeue_after=0)
    if task.phase == "Pending":
        status = make_status(snapshot, "Pending", task.reason or "Waiting", task.message)
        return Decision(start=True, status=status, events=tuple(_troubles(snapshot, task)))
    if task.phase == "Running":
        first = snapshot.job.get("status", {}).get("phase") != "Running"
        started = (Event("Normal", "Started", "the task was started"),) if first else ()
        return Decision(status=make_status(snapshot, "Running", "Running", task.message), events=started)
    if task.phase == "Succeeded":
        report = str(task.result.get("report") or "done")[:_MAX_REPORT]
        return Decision(
            inspection=_inspection(snapshot.job, task),
            status=make_status(snapshot, "Succeeded", "Completed", report),
            events=(Event("Normal", "Completed", report),),
        )
    reason = task.reason or "Error"
    if reason == LOST and snapshot.losses < MAX_LOSSES:
        again = Event("Warning", "Restarted", "the task was lost with its supervisor and runs again")
        return Decision(
            remove_task=True,
            status=make_status(snapshot, "Pending", "Restarting", ""),
            events=(again,),
            requeue_after=0,
        )
    return Decision(
        inspection=_inspection(snapshot.job, task),
        status=make_status(snapshot, "Failed", reason, task.message),
        events=(Event("Warning", reason, task.message),),
    )


def _troubles(snapshot: Snapshot, task: TaskState) -> Iterator[Event]:
    """Yield an event for a new reason why the task cannot start."""
    told = {c["reason"] for c in snapshot.job.get("status", {}).get("conditions", ()) if c["type"] == "Complete"}
    if task.reason and task.reason not in told:
        yield Event("Warning", task.reason, task.message)


def _inspection(job: Object, task: TaskState) -> Any:
    """Return a task's inspection, even of a failed task; None if its environment is not the platform's.

    A task is trusted only for the content of its job, so that a model that takes over a task cannot affect others.
    """
    found = task.result.get("inspection")
    if job["spec"].get("env"):
        return None
    content = job["metadata"].get("annotations", {}).get(CONTENT_ANNOTATION)
    return None if isinstance(found, dict) and found.get("content", content) != content else found


def make_status(snapshot: Snapshot, phase: str, reason: str, message: str) -> dict[str, Any]:
    old = snapshot.job.get("status", {})
    now = format_time(snapshot.now)
    status: dict[str, Any] = {"phase": phase, "message": message}
    if phase in ("Running", "Succeeded") or (snapshot.task is not None and snapshot.task.started_at is not None):
        started = snapshot.task.started_at if snapshot.task else None
        status["startTime"] = old.get("startTime") or (format_time(started) if started else now)
    if phase in ("Succeeded", "Failed"):
        status["completionTime"] = now
    status["conditions"] = merge_conditions(
        old.get("conditions", []),
        (
            Condition("Complete", "True" if phase == "Succeeded" else "False", reason, message),
            Condition("Failed", "True" if phase == "Failed" else "False", reason, message),
        ),
        generation=snapshot.job["metadata"]["generation"],
        now=snapshot.now,
    )
    if phase == "Succeeded" and snapshot.task is not None:
        result = snapshot.task.result
        spec = snapshot.job["spec"]
        status["result"] = {
            "model": spec.get("desiredTag") or spec["model"],
            "digest": str(result.get("digest", "")),
            "report": str(result.get("report", "")),
        }
    return status
