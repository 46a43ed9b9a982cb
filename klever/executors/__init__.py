"""Executors: where the task of a job runs.

An executor runs the task's program once, apart from the control plane, within limits of time and memory. The program
reads a JSON document, `{"module", "step", "inputs", "secrets"}`, whose path is its last argument. It writes an
`Outcome` to the file that its environment variable KLEVER_TERMINATION_LOG names. Only `klever.cmd` chooses
implementations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from klever.api.outcome import Outcome
from klever.errors import FieldViolation
from klever.formats import Trust

__all__ = ["Executor", "Outcome", "RegistryAccess", "Task", "TaskPhase", "TaskState"]


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """A repository that a task pulls from, and with `push` also writes to.

    `host` names the registry and its secrets; it is empty for the platform's own. The executor looks both up when the
    task starts, so that a task never holds a secret.
    """

    host: str
    repository: str
    push: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What to run, and for which job. `uid` is the job's, and identifies the task.

    The platform's program imports `module` and calls its `run` with `inputs`. If the task has a `program`, it runs
    in three steps: the platform's `fetch`, the program in the Python of `environment`, without network and secrets, and
    the platform's `push`. The steps share a directory: the program gets the path of `input/request.json`, which `fetch`
    wrote, and writes to its working directory, `output`. The task's result is that of the last step.

    `env` and `init_containers` are Kubernetes' EnvVar and Container objects as the job's spec has them. `trust` says
    what the program can do: the code of a model runs in a sandbox only. `timeout_s` is in seconds and counts from the
    start of the first step; `memory_bytes` bounds the resident memory of all processes of a step.
    """

    namespace: str
    name: str
    uid: str
    module: str
    inputs: Mapping[str, Any]
    registries: tuple[RegistryAccess, ...] = ()
    environment: str = ""
    program: str = ""
    trust: Trust = Trust.DATA
    env: tuple[Mapping[str, Any], ...] = ()
    init_containers: tuple[Mapping[str, Any], ...] = ()
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

    `reason` of a failed task is the outcome's own, or Error, OOMKilled, DeadlineExceeded, Killed (cancelled, or ended
    from outside), StartError (the command cannot be started) or Lost (the machine or its supervisor went down: it may
    run again). `exit_code` is the outcome's, which may be above 255, else the process's. `result` is what a task that
    ended left.
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
    """Runs tasks. A restart of the control plane changes nothing for tasks that run or have ended."""

    def check(self, task: Task) -> tuple[FieldViolation, ...]:
        """Return what this executor does not support, by field path below the job's spec; empty if it can run. Pure."""

    async def ensure(self, task: Task) -> None:
        """Run the task once, as soon as there is a place for it. A known `uid` changes nothing.

        A restart of the control plane forgets a waiting task: `observe` then returns None, and its owner ensures it
        again. Raises `InvalidError` for a task that can never run, and `ExhaustedError` (disk full), `UnavailableError`
        or `DeadlineError` for one that cannot run now; the task is unknown then. A waiting task that cannot start
        when its turn comes stays Pending, and `watch` yields it: `ensure` then raises the reason.
        """

    async def observe(self, uid: str) -> TaskState | None:
        """Return the task as it is now; None for an unknown one."""

    async def list(self) -> tuple[TaskState, ...]:
        """Return all known tasks by uid, with those that have ended. It finds tasks whose job is gone."""

    async def cancel(self, uid: str) -> None:
        """End the task and return when nothing of it runs. Its log and its state, now Failed, stay.

        A task that has not started is forgotten. An unknown or ended task is not an error.
        """

    async def remove(self, uid: str) -> None:
        """End the task, and remove its log and everything else. An unknown task is not an error."""

    def logs(self, uid: str, *, tail: int | None = None, follow: bool = False) -> AsyncIterator[str]:
        """Yield lines of output, the last `tail` ones, and with `follow` further ones until the task has ended.

        Raises `NotFoundError` for a task that is unknown or has not started.
        """

    def watch(self) -> AsyncIterator[str]:
        """Yield the uid of each known task, then of each that changes. Never ends by itself."""
