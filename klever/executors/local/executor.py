"""Runs tasks as processes on this machine, each under a shim and in a separate directory."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from klever.changes import Broadcast
from klever.environments import EnvironmentManager
from klever.errors import (
    DeadlineError,
    FailedPreconditionError,
    FieldViolation,
    InvalidError,
    KleverError,
    NotFoundError,
)
from klever.executors import Task, TaskPhase, TaskState
from klever.executors.local.memory import MEMORY_IN_USE, MemoryGate
from klever.executors.local.queue import Queue
from klever.executors.local.states import identify, is_task, process_id, task_state
from klever.executors.local.steps import Provision, Steps
from klever.formats import Trust
from klever.process import Level, ProcessManager, ProcessState
from klever.process.memory import INSUFFICIENT, Memory, machine_memory
from klever.process.removal import remove_tree
from klever.process.resources import check_resources
from klever.process.variables import check_variables

__all__ = ["LocalExecutor"]

_STEP_RETRY_S: Final = 2.0
_NEVER: Final = {INSUFFICIENT: "InsufficientMemory", "LIMIT_EXCEEDED": "LimitExceeded"}
"""Reason of the error for a step that can never start -> that of its task. All others are StartError."""

_log = logging.getLogger(__name__)


class LocalExecutor:
    """Runs tasks as processes of `processes`. An async context manager, inside which waiting tasks start.

    `command` runs with the path of the task's document as its last argument, in an empty directory that is removed when
    the task has ended, with the task's variables and `env`, which takes precedence. `provide` resolves a task's secrets
    when it starts. The task runs in a sandbox, in which it writes at most `write_bytes`. At most `slots` tasks run at a
    time, by default one per core. The others wait, and namespaces take turns. `memory` returns the machine's memory: a
    task whose program waits for memory leaves its slot to others.
    """

    def __init__(
        self,
        processes: ProcessManager,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str],
        environments: EnvironmentManager,
        provide: Callable[[Task], Provision] = lambda _: Provision(),
        write_bytes: int = 64 << 30,
        slots: int | None = None,
        memory: Callable[[], Memory] = machine_memory,
    ) -> None:
        self._processes = processes
        self._memory = MemoryGate(processes, memory)
        self._steps = Steps(processes, command, env, provide, environments, write_bytes, self._memory)
        self._slots = slots or len(os.sched_getaffinity(0))
        self._waiting = Queue()
        self._put_aside: dict[str, Task] = {}
        """Tasks that could not start at their turn. Their owners ensure them again, and get the reason."""
        self._running: set[str] = set()
        self._advancing: dict[str, asyncio.Task[None]] = {}
        """Tasks between two steps."""
        self._notes: dict[str, str] = {}
        """What each task between two steps is waiting for."""
        self._failed: dict[str, tuple[str, str]] = {}
        """Why the next step of a task can never start: reason and message."""
        self._starting = asyncio.Lock()
        self._admitting = asyncio.Lock()
        self._changes: Broadcast[str] = Broadcast()
        self._follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Adopt running tasks."""
        states = await asyncio.to_thread(self._processes.list)
        tasks = [state for state in states if is_task(state.spec.id)]
        self._running = {identify(s.spec.id) for s in tasks if s.phase != "Exited" or self._steps.remain(s)}
        self._follower = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the running tasks to the next executor."""
        ending = [*self._advancing.values(), *([self._follower] if self._follower else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def check(self, task: Task) -> tuple[FieldViolation, ...]:
        violations = (*check_variables(task.env), *check_resources(task.resources))
        if task.init_containers:
            violations += (FieldViolation("initContainer", "is supported on Kubernetes only"),)
        if task.trust is Trust.CODE and self._processes.confinement.level is Level.NONE:
            violations += (FieldViolation("conversion", "needs a sandbox; this machine has none: see `klever doctor`"),)
        return violations

    async def ensure(self, task: Task) -> None:
        async with self._starting:
            self._put_aside.pop(task.uid, None)
            known = task.uid in self._waiting
            if not known:
                if self._processes.get(process_id(task.uid)):
                    return
                self._waiting.add(task)
            await self._fill(task.uid)
            if not known:  # the owner ensures the task again after each change
                self._tell(task.uid)

    async def observe(self, uid: str) -> TaskState | None:
        if uid in self._waiting:
            return self._waiting_state(uid)
        if uid in self._put_aside:
            return self._aside_state(uid)
        state = self._processes.get(process_id(uid))
        return self._state(state) if state else None

    async def list(self) -> tuple[TaskState, ...]:
        states = await asyncio.to_thread(self._processes.list)
        known = {identify(state.spec.id): self._state(state) for state in states if is_task(state.spec.id)}
        known |= {uid: self._waiting_state(uid) for uid in self._waiting.uids()}
        known |= {uid: self._aside_state(uid) for uid in self._put_aside}
        return tuple(known[uid] for uid in sorted(known))

    async def cancel(self, uid: str) -> None:
        await self._hold_back(uid)
        await self._processes.stop(process_id(uid))
        await self._leave(uid)

    async def remove(self, uid: str) -> None:
        await self._hold_back(uid)
        await self._processes.remove(process_id(uid))
        self._failed.pop(uid, None)
        await self._leave(uid)

    def logs(self, uid: str, *, tail: int | None = None, follow: bool = False) -> AsyncIterator[str]:
        if uid in self._waiting:
            raise NotFoundError(f"task {uid} has not started")

        def ended(state: ProcessState) -> bool:
            return self._state(state).phase is not TaskPhase.RUNNING

        return self._processes.logs(process_id(uid), tail=tail, follow=follow, ended=ended)

    async def watch(self) -> AsyncIterator[str]:
        with self._changes.subscribe() as changes:
            for state in await self.list():
                changes.add(state.uid)
            while True:
                yield await changes.next()

    async def _hold_back(self, uid: str) -> None:
        """Prevent further processes of the task."""
        self._processes.check(process_id(uid))
        async with self._starting:  # so that a task is either waiting or started
            self._waiting.remove(uid)
            self._put_aside.pop(uid, None)
            await asyncio.to_thread(self._steps.end, process_id(uid))
            advancing = self._advancing.get(uid)
        if advancing is not None:
            advancing.cancel()
            await asyncio.wait([advancing])
            self._advancing.pop(uid, None)  # a task that had not begun does not remove itself

    async def _leave(self, uid: str) -> None:
        """Give the slot of an ended task to another one."""
        self._running.discard(uid)
        self._tell(uid)
        async with self._starting:
            await self._fill()

    def _tell(self, *uids: str) -> None:
        for uid in uids:
            self._changes.tell(uid)

    def _waiting_state(self, uid: str) -> TaskState:
        task = self._waiting[uid]
        running = f"{len(self._running)} of {self._slots} jobs are running"
        message = f"waiting: {running}, {self._waiting.place(uid)} ahead"
        return TaskState(uid, task.namespace, task.name, TaskPhase.PENDING, message=message)

    def _aside_state(self, uid: str) -> TaskState:
        task = self._put_aside[uid]
        return TaskState(uid, task.namespace, task.name, TaskPhase.PENDING)

    async def _follow(self) -> None:
        """Clean up after ended tasks, and refill their slots."""
        async for process in self._processes.watch():
            uid = identify(process)
            if not is_task(process):
                continue
            if not await self._lives(uid):
                self._running.discard(uid)
                async with self._starting:
                    await self._fill()
            self._tell(uid)

    async def _lives(self, uid: str) -> bool:
        """Return whether the task runs. If a process has ended, start the next step or remove the working directory."""
        async with self._starting:  # which guards working directories
            state = self._processes.get(process_id(uid))
            if state is None or state.phase != "Exited":
                return state is not None
            if self._steps.remain(state) and uid not in self._failed:
                if uid not in self._advancing:
                    self._advancing[uid] = asyncio.create_task(self._advance(uid), name=f"next step of {uid}")
                return True
            with suppress(OSError):  # removed later with the task's record
                await asyncio.to_thread(remove_tree, self._steps.work(process_id(uid)))
            return False

    async def _advance(self, uid: str) -> None:
        """Start the next step. Retry temporary errors until the task is removed."""
        try:
            while (state := self._processes.get(process_id(uid))) is not None:
                try:
                    await self._start_next(uid, state)
                except KleverError as error:
                    if reason := self._why_never(error, state):
                        await self._fail(uid, reason, error.message)
                        return
                    if error.reason == MEMORY_IN_USE:
                        await self._leave(uid)
                    self._note(uid, error.message)
                    await asyncio.sleep(_STEP_RETRY_S)
                except Exception as error:  # noqa: BLE001 - a task that stays would hold its place
                    _log.exception("the next step of task %s cannot be started", uid)
                    await self._fail(uid, "StartError", f"an internal error: {error}")
                    return
                else:
                    return
        finally:
            self._advancing.pop(uid, None)
            self._notes.pop(uid, None)

    async def _start_next(self, uid: str, state: ProcessState) -> None:
        spec = await self._steps.next(state, partial(self._note, uid))
        async with self._admitting:
            await self._memory.admit(spec)
            await self._processes.start(spec)
        self._running.add(uid)

    def _why_never(self, error: KleverError, state: ProcessState) -> str:
        """Return the reason of a task whose next step can never start; empty if it may start later."""
        if error.reason in _NEVER:
            return _NEVER[error.reason]
        if isinstance(error, FailedPreconditionError | InvalidError | NotFoundError):
            return "StartError"
        return "DeadlineExceeded" if self._steps.is_overdue(state) else ""

    def _note(self, uid: str, line: str) -> None:
        self._notes[uid] = line
        self._tell(uid)

    async def _fail(self, uid: str, reason: str, why: str) -> None:
        self._failed[uid] = (reason, why)
        with suppress(OSError):  # removed later with the task's record
            await asyncio.to_thread(remove_tree, self._steps.work(process_id(uid)))
        await self._leave(uid)

    def _state(self, state: ProcessState) -> TaskState:
        known, uid = task_state(state), identify(state.spec.id)
        if uid in self._failed:
            reason, message = self._failed[uid]
            return replace(known, phase=TaskPhase.FAILED, reason=reason, message=message, result={})
        if self._steps.remain(state):
            note = self._notes.get(uid, "")
            return replace(known, phase=TaskPhase.RUNNING, reason="", message=note, result={}, finished_at=None)
        if self._steps.are_cut(state):
            return replace(known, phase=TaskPhase.FAILED, reason="Killed", message="", result={})
        return known

    async def _fill(self, asked: str = "") -> None:
        """Start waiting tasks while there are slots. The caller holds the lock.

        Raises the reason if `asked` cannot start. `watch` does not yield that task, because its owner would retry at
        once.
        """
        while self._waiting and len(self._running) < self._slots:
            task = self._waiting.take_turn()
            uid = task.uid
            try:
                spec = await asyncio.to_thread(self._steps.first, process_id(uid), task)
                await self._processes.start(spec)
            except KleverError as error:
                self._waiting.remove(uid)
                if isinstance(error, DeadlineError):  # the late process was ended, but its record is left
                    with suppress(KleverError):
                        await self._processes.remove(process_id(uid))
                if uid == asked:
                    raise
                self._put_aside[uid] = task
            else:
                self._waiting.remove(uid)
                self._running.add(uid)
            self._tell(uid, *self._waiting.first())
