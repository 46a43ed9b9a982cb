"""Runs tasks as processes on this machine, each under a shim and in a directory of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from klever.changes import Broadcast
from klever.disk import disk_errors
from klever.errors import DeadlineError, FieldViolation, KleverError, NotFoundError
from klever.executors import Outcome, Task, TaskPhase, TaskState
from klever.process import Network, ProcessManager, ProcessSpec, ProcessState, Sandbox
from klever.process.removal import remove_tree
from klever.process.variables import check_variables, variables

__all__ = ["LocalExecutor", "Provision"]

_PREFIX: Final = "task-"
_COUNTED: Final = 20
"""Waiting tasks whose place in the queue is shown. It changes with each start, and each change is a write."""
_WORK: Final = "work"
_GRACE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Provision:
    """What a task gets when it starts: the `secrets` of its registries, and what its sandbox lets it read and reach."""

    secrets: Mapping[str, Any] = field(default_factory=dict)
    read: tuple[Path, ...] = ()
    network: Network = Network.FULL


class LocalExecutor:
    """Tasks among the processes of `processes`; `async with` it, for waiting tasks start only inside.

    `command` runs with the path of the task's document as its last argument, in an empty directory that is removed when
    the task has ended, with the task's own variables and `env`, which wins. `provide` resolves a task's secrets when it
    starts. The task runs in a sandbox, in which it writes at most `write_bytes`. At most `slots` tasks run at a time,
    by default one per core; the others wait, and namespaces take turns.
    """

    def __init__(
        self,
        processes: ProcessManager,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str],
        provide: Callable[[Task], Provision] = lambda _: Provision(),
        write_bytes: int = 64 << 30,
        slots: int | None = None,
    ) -> None:
        self._processes = processes
        self._command = command
        self._env = env
        self._provide = provide
        self._write_bytes = write_bytes
        self._slots = slots or len(os.sched_getaffinity(0))
        self._waiting: OrderedDict[str, Task] = OrderedDict()
        self._put_aside: dict[str, Task] = {}
        """Those that could not be started when their turn came: their owners start them again, and see why."""
        self._turn = 0
        self._turns: dict[str, int] = {}
        """When each namespace had its last turn."""
        self._running: set[str] = set()
        self._starting = asyncio.Lock()
        self._changes: Broadcast[str] = Broadcast()
        self._follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Adopt what runs."""
        states = await asyncio.to_thread(self._processes.list)
        self._running = {_uid(state.spec.id) for state in states if _is_task(state) and state.phase != "Exited"}
        self._follower = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the tasks that run to whoever comes next."""
        if self._follower:
            self._follower.cancel()
            await asyncio.wait([self._follower])

    def check(self, task: Task) -> tuple[FieldViolation, ...]:
        violations = tuple(check_variables(task.env))
        if task.init_containers:
            violations += (FieldViolation("initContainer", "is supported on Kubernetes only"),)
        return violations

    async def start(self, task: Task) -> None:
        async with self._starting:
            self._put_aside.pop(task.uid, None)
            known = task.uid in self._waiting
            if not known:
                if self._processes.get(_id(task.uid)):
                    return
                self._waiting[task.uid] = task
            await self._fill(task.uid)
            if not known:  # its owner asks for it again whenever it is told of it
                self._tell(task.uid)

    async def get(self, uid: str) -> TaskState | None:
        if uid in self._waiting:
            return self._waiting_state(uid)
        if uid in self._put_aside:
            return self._aside_state(uid)
        state = self._processes.get(_id(uid))
        return _task_state(state) if state else None

    async def list(self) -> tuple[TaskState, ...]:
        states = await asyncio.to_thread(self._processes.list)
        known = {_uid(state.spec.id): _task_state(state) for state in states if _is_task(state)}
        known |= {uid: self._waiting_state(uid) for uid in self._waiting}
        known |= {uid: self._aside_state(uid) for uid in self._put_aside}
        return tuple(known[uid] for uid in sorted(known))

    async def delete(self, uid: str) -> None:
        async with self._starting:  # it is either waiting or started, and nothing in between
            self._waiting.pop(uid, None)
            self._put_aside.pop(uid, None)
        await self._processes.remove(_id(uid))
        self._running.discard(uid)
        self._tell(uid)
        async with self._starting:
            await self._fill()

    def logs(self, uid: str, *, tail: int | None = None, follow: bool = False) -> AsyncIterator[str]:
        if uid in self._waiting:
            raise NotFoundError(f"task {uid} has not started")
        return self._processes.logs(_id(uid), tail=tail, follow=follow)

    async def watch(self) -> AsyncIterator[str]:
        with self._changes.subscribe() as changes:
            for state in await self.list():
                changes.add(state.uid)
            while True:
                yield await changes.next()

    def _tell(self, *uids: str) -> None:
        for uid in uids:
            self._changes.tell(uid)

    def _waiting_state(self, uid: str) -> TaskState:
        task = self._waiting[uid]
        first = list(islice(self._waiting, _COUNTED))
        ahead = first.index(uid) if uid in first else f"at least {_COUNTED}"
        message = f"waiting: {len(self._running)} of {self._slots} jobs are running, {ahead} ahead"
        return TaskState(uid, task.namespace, task.name, TaskPhase.PENDING, message=message)

    def _aside_state(self, uid: str) -> TaskState:
        task = self._put_aside[uid]
        return TaskState(uid, task.namespace, task.name, TaskPhase.PENDING)

    async def _follow(self) -> None:
        """Clean up after what ends, and fill its place."""
        async for process_id in self._processes.watch():
            uid = _uid(process_id)
            if not process_id.startswith(_PREFIX):
                continue
            if not await self._lives(uid):
                self._running.discard(uid)
                async with self._starting:
                    await self._fill()
            self._tell(uid)

    async def _lives(self, uid: str) -> bool:
        """Whether the task's process runs; its working directory goes when it has ended."""
        async with self._starting:  # which lays out working directories
            state = self._processes.get(_id(uid))
            if state and state.phase == "Exited":
                with suppress(OSError):  # it goes with the task's record
                    await asyncio.to_thread(remove_tree, self._work(uid))
            return state is not None and state.phase != "Exited"

    async def _fill(self, asked: str = "") -> None:
        """Start waiting tasks while there are places; the caller holds the lock.

        Raises why `asked` cannot be started. Its owner is not told of that once more: it would try again at once.
        """
        while self._waiting and len(self._running) < self._slots:
            task = self._next()
            uid = task.uid
            try:
                await self._processes.start(await asyncio.to_thread(self._prepare, task))
            except KleverError as error:
                del self._waiting[uid]
                if isinstance(error, DeadlineError):  # what came too late was ended, and left its record
                    with suppress(KleverError):
                        await self._processes.remove(_id(uid))
                if uid == asked:
                    raise
                self._put_aside[uid] = task
            else:
                del self._waiting[uid]
                self._running.add(uid)
            self._tell(uid, *islice(self._waiting, _COUNTED))

    def _next(self) -> Task:
        """Return the task whose turn it is: the namespace that waits longest for one comes first, in order within.

        A project that pushes hundreds of models delays the others by one task.
        """
        task = min(self._waiting.values(), key=lambda task: self._turns.get(task.namespace, 0))
        self._turn += 1
        self._turns[task.namespace] = self._turn
        return task

    def _prepare(self, task: Task) -> ProcessSpec:
        """Lay out the task's directory."""
        work, provision = self._work(task.uid), self._provide(task)
        with disk_errors(work):
            work.mkdir(parents=True, exist_ok=True)
            path = work / "spec.json"
            path.touch(0o600)  # it holds secrets
            path.write_text(json.dumps({"module": task.module, "inputs": task.inputs, "secrets": provision.secrets}))
        return ProcessSpec(
            id=_id(task.uid),
            argv=(*self._command, str(path)),
            env={**variables(task.env), **self._env, "HOME": str(work), "TMPDIR": str(work)},
            cwd=work,
            labels={"namespace": task.namespace, "name": task.name},
            grace_s=_GRACE_S,
            timeout_s=task.timeout_s,
            memory_bytes=task.memory_bytes,
            sandbox=Sandbox(provision.read, (work,), provision.network, write_bytes=self._write_bytes),
        )

    def _work(self, uid: str) -> Path:
        """Where the task runs."""
        return self._processes.directory(_id(uid)) / _WORK


def _id(uid: str) -> str:
    return f"{_PREFIX}{uid}"


def _uid(process_id: str) -> str:
    return process_id.removeprefix(_PREFIX)


def _is_task(state: ProcessState) -> bool:
    return state.spec.id.startswith(_PREFIX)


def _task_state(state: ProcessState) -> TaskState:
    """A process as a task; where it left an outcome that tells more than the process does."""
    outcome = Outcome.parse(state.message) or Outcome(state.exit_code or 0, state.message)
    if state.phase != "Exited":
        phase, reason = TaskPhase.RUNNING, ""
    elif state.exit_code == 0 and outcome.exit_code == 0:
        phase, reason = TaskPhase.SUCCEEDED, "Completed"
    else:
        lost = state.exit_code is None
        phase, reason = TaskPhase.FAILED, "Lost" if lost else outcome.reason or _reason(state)
    return TaskState(
        _uid(state.spec.id),
        state.spec.labels["namespace"],
        state.spec.labels["name"],
        phase,
        reason,
        outcome.message,
        outcome.exit_code or state.exit_code,
        outcome.result,
        state.started_at,
        state.exited_at,
    )


def _reason(state: ProcessState) -> str:
    return state.reason if state.exit_code else "Error"
