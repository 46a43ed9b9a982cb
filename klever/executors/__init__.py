"""The contract of an executor, which runs the tasks of jobs.

An executor runs the task's program once, outside the control plane, with limits of time and memory. The program reads a
JSON document, `{"module", "step", "inputs", "secrets"}`, whose path is its last argument. It writes an `Outcome` to the
file that its environment variable KLEVER_TERMINATION_LOG names. Only `klever.cmd` chooses implementations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from klever.api.outcome import Outcome
from klever.converters import MemoryNeed
from klever.errors import FieldViolation
from klever.formats import Trust

__all__ = ["Executor", "Outcome", "RegistryAccess", "Task", "TaskPhase", "TaskState"]


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """A repository that a task reads and, with `push`, writes.

    `host` names the registry and its secrets; it is empty for the platform's. The executor looks both up when the task
    starts, so that a `Task` never contains a secret.
    """

    host: str
    repository: str
    push: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """The task of a job. `uid` is that of the job and identifies the task.

    The platform's program imports `module` and calls its `run` with `inputs`. If the task has a `program`, it runs
    in three steps: the platform's `fetch`, the program in the Python of `environment`, without network and secrets, and
    the platform's `push`. The steps share a directory: the program gets the path of `input/request.json`, which `fetch`
    wrote, and writes to its working directory, `output`. The task's result is that of the last step.

    `env` and `init_containers` are Kubernetes' EnvVar and Container objects, and `resources` its ResourceRequirements,
    as the job's spec has them. `trust` is the trust class of the program: a model's code runs in a sandbox only.
    `timeout_s` is in seconds and counts from the start of the first step. `memory_bytes` bounds the resident memory of
    all processes of a step. The program may need more, as `program_memory` says, but never more than
    `most_memory_bytes`. A memory limit in `resources` counts instead of both, for the program or for the only step.
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
    program_memory: MemoryNeed = field(default_factory=MemoryNeed)
    most_memory_bytes: int | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)


class TaskPhase(StrEnum):
    PENDING = "Pending"
    """Not started. The message names the reason for the wait."""
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class TaskState:
    """The current state of a task.

    The `reason` of a failed task is that of the outcome, or Error, OOMKilled, DeadlineExceeded, Killed (cancelled, or
    ended from outside), StartError (the command cannot be started), InsufficientMemory (it needs more memory than the
    machine has), LimitExceeded (it needs more than a limit of the platform allows) or Lost (the machine or its
    supervisor went down: it may run again). The reason of a task that cannot start yet says what is wrong, such as
    ImagePullBackOff; it is empty if the task only waits. `exit_code` is that of the outcome, which may be above 255,
    or of the process. `result` is the result of an ended task.
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
        """Return what this executor does not support, with field paths below the job's spec. Pure."""

    async def ensure(self, task: Task) -> None:
        """Run the task once, as soon as there is a slot. Does nothing for a known `uid`.

        A restart of the control plane forgets a waiting task: `observe` then returns None, and its owner ensures it
        again. Raises `InvalidError` for a task that can never run, and `ExhaustedError` (disk full), `UnavailableError`
        or `DeadlineError` for one that cannot run now. The task is unknown after an error. A waiting task that cannot
        start when its turn comes stays Pending, and `watch` yields it: `ensure` then raises the reason.
        """

    async def observe(self, uid: str) -> TaskState | None:
        """Return the current state of the task; None if it is unknown."""

    async def list(self) -> tuple[TaskState, ...]:
        """Return all known tasks by uid, including ended ones, to find tasks whose job is gone."""

    async def cancel(self, uid: str) -> None:
        """End the task and return when none of its processes runs. Its log and its state, now Failed, stay.

        Forgets a task that has not started. An unknown or ended task is not an error.
        """

    async def remove(self, uid: str) -> None:
        """End the task, and remove its log and all its files. An unknown task is not an error."""

    def logs(self, uid: str, *, tail: int | None = None, follow: bool = False) -> AsyncIterator[str]:
        """Yield the last `tail` lines of output, and with `follow` new lines until the task has ended.

        Raises `NotFoundError` for a task that is unknown or has not started.
        """

    def watch(self) -> AsyncIterator[str]:
        """Yield the uid of each known task, then of each task that changes. Never ends by itself."""
