"""Executors: where the task of a job runs.

A task is a JSON specification that a command (`python -m klever.cmd.task SPEC.json`) carries out once, in a process or
container of its own, within limits of time and memory. It leaves an `Outcome` in the file that its environment
variable KLEVER_TERMINATION_LOG names (on Kubernetes: terminationMessagePath). Implementations are chosen by
`klever.cmd` alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from klever.executors.outcome import Outcome

__all__ = ["Executor", "Outcome", "Task", "TaskPhase", "TaskState"]


@dataclass(frozen=True, slots=True)
class Task:
    """What to run, and for which job; `uid` is the job's and names the task for good.

    `spec` is handed to the command as JSON, `env` is its environment beside what the executor gives. `timeout_s`
    counts from the start, waiting for a place excluded; `memory_bytes` bounds the resident memory of all its processes.
    """

    namespace: str
    name: str
    uid: str
    spec: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    memory_bytes: int | None = None


class TaskPhase(StrEnum):
    PENDING = "Pending"
    """Not started; the message says what it waits for."""
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as it is now.

    `reason` of a failed task is the outcome's own, or Error, OOMKilled, DeadlineExceeded, Killed (ended from outside),
    StartError (the command cannot be started) or Lost (the machine or its supervisor went down: it may be run again).
    `exit_code` is the outcome's, which may be above 255, else the process's. `result` is what a task that ended left.
    """

    uid: str
    namespace: str
    name: str
    phase: TaskPhase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Executor(Protocol):
    """Runs tasks. A restart of the control plane changes nothing for those that run or have ended."""

    async def start(self, task: Task) -> None:
        """Run the task as soon as there is a place for it; nothing happens for a `uid` that is known.

        One that waits is forgotten in a restart of the control plane: `get` returns None then, and its owner starts it
        again. Raises `InvalidError` for what can never be run, `ExhaustedError` (disk full), `UnavailableError` and
        `DeadlineError`; it is not known then. One that waits and cannot be started when its turn comes goes on as
        Pending, and its change is told: started again, it raises why.
        """

    async def get(self, uid: str) -> TaskState | None:
        """The task as it is now; None if it is not known."""

    async def list(self) -> tuple[TaskState, ...]:
        """All tasks that are known, also the ended ones, by uid (for finding those whose job is gone)."""

    async def delete(self, uid: str) -> None:
        """End the task and remove its log and everything else; returns when nothing is left. Unknown is no error."""

    def logs(self, uid: str, *, tail: int | None = None, follow: bool = False) -> AsyncIterator[str]:
        """Yield lines of output, the last `tail` ones, and with `follow` those to come until it has ended.

        Raises `NotFoundError` for a task that is not known or has not started.
        """

    def watch(self) -> AsyncIterator[str]:
        """Yield the uid of each task that changed, at first of each that is known; never ends by itself."""
