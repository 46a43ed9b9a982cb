"""Jobs that a controller needs: found by name, created once, and created again after a temporary failure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol

from klever.api.kinds import MODEL_JOB, Object
from klever.errors import NotFoundError
from klever.store import Key, Store

__all__ = [
    "KEEP_SECONDS",
    "RETRY_SECONDS",
    "WantedJob",
    "apply_job",
    "failure_reason",
    "find_job",
    "has_ended",
    "is_retried",
]

KEEP_SECONDS: Final = 86_400
"""A failure stays visible overnight, and an unreadable model is retried only once a day."""
RETRY_SECONDS: Final = 30.0
"""The time between a temporary failure of a job and the next job."""
_FINAL = frozenset(
    ("TaskFailed", "Invalid", "OOMKilled", "InsufficientMemory", "LimitExceeded", "DeadlineExceeded", "Cancelled")
)
"""Reasons of failures that would repeat, or that must not be retried automatically."""


class WantedJob(Protocol):
    """A job to create in the first of `namespaces` that exists."""

    @property
    def name(self) -> str:
        """The job's name, which depends only on the work."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Its possible namespaces, in the order of preference."""

    @property
    def outdated(self) -> Object | None:
        """A job with the same name that must be deleted first, None if there is none."""

    def body(self, namespace: str) -> Object:
        """Return the ModelJob."""


async def find_job(seen: Store, namespaces: Iterable[str], name: str) -> Object | None:
    """Return the job in the first of the namespaces that has it; None if there is none."""
    for namespace in namespaces:
        try:
            return await seen.get(MODEL_JOB, Key(namespace, name))
        except NotFoundError:
            continue
    return None


async def apply_job(store: Store, wanted: WantedJob) -> None:
    """Create the job in the first of its namespaces that exists, or delete its outdated predecessor.

    Raises `NotFoundError` if none of the namespaces exists, `AlreadyExistsError` if the job already exists.
    """
    if wanted.outdated is not None:
        metadata = wanted.outdated["metadata"]
        with suppress(NotFoundError):
            await store.delete(MODEL_JOB, Key(metadata["namespace"], metadata["name"]), uid=metadata["uid"])
        return
    *others, last = (wanted.body(namespace) for namespace in wanted.namespaces)
    for job in others:
        with suppress(NotFoundError):
            await store.create(MODEL_JOB, job)
            return
    await store.create(MODEL_JOB, last)


def has_ended(job: Object) -> bool:
    """Whether a job has ended and is not being deleted."""
    return "deletionTimestamp" not in job["metadata"] and bool(job.get("status", {}).get("completionTime"))


def failure_reason(job: Object) -> str:
    """Return the reason of a job's failure; empty if it did not fail."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((c["reason"] for c in conditions if c["type"] == "Failed" and c["status"] == "True"), "")


def is_retried(job: Object) -> bool:
    """Whether a job's failure is temporary, e.g. the registry was down, the disk was full, or the tag moved."""
    return bool(failure_reason(job)) and failure_reason(job) not in _FINAL
