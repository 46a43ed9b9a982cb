"""Starts, finds, watches and ends processes by their records."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from klever.disk import disk_errors
from klever.errors import DeadlineError, NotFoundError, UnavailableError
from klever.process.cgroups import Cgroups, Group, group_name
from klever.process.launch import run_shim, start_error
from klever.process.logs import read_log
from klever.process.orphans import end_orphans
from klever.process.ownership import give
from klever.process.record import ProcessSpec, ProcessState, Record, Run, check_id
from klever.process.removal import remove_tree
from klever.process.sandbox import Command, Confinement, Payload, Unconfined
from klever.process.shim.names import GRACE, OWNER, TERMINATION_LOG
from klever.process.watch import Watcher, end_shim

__all__ = ["ProcessManager"]

_START_S: Final = 20.0
_BUSY_POLL_S: Final = 0.02
_TERMINATION: Final = "termination"
_LOG_BYTES: Final = 10 << 20
_USERS: Final = range(61184, 65520)
"""User ids without an owner: systemd's range for dynamic users."""
_STOP_SLACK_S: Final = 5.0
"""Seconds beyond the grace time that a shim may take to end its descendants, before it is killed itself."""


class ProcessManager:
    """The processes whose records are below `root`. Only one manager of a data directory acts at a time.

    `may_act` returns whether this manager is the one. `confinement` enforces sandboxes, and `cgroups` limits. Without
    cgroups the shims enforce limits, by polling. A log is rotated at `log_bytes`, unless its process specifies another
    size.
    """

    def __init__(
        self,
        root: Path,
        may_act: Callable[[], bool] = lambda: True,
        confinement: Confinement | None = None,
        cgroups: Cgroups | None = None,
        log_bytes: int = _LOG_BYTES,
    ) -> None:
        self.root = root.absolute()
        self.confinement = confinement or Unconfined()
        self.cgroups = cgroups
        self._log_bytes = log_bytes
        self._may_act = may_act
        self._watcher = Watcher()

    # Reading

    def directory(self, process_id: str) -> Path:
        """Return the directory of a process, which exists from `start` to `remove`.

        Files of the owner go into subdirectories. The owner may create it before the start. Raises `InvalidError` for
        an invalid id.
        """
        check_id(process_id)
        return self.root / process_id

    def get(self, process_id: str) -> ProcessState | None:
        """Return the current state of the process, from its record."""
        record = self._record(process_id)
        return record.state() if record else None

    def list(self) -> list[ProcessState]:
        """Return all processes that have a record, by id."""
        return [record.state() for record in self._records()]

    # Changes

    def check(self, process_id: str) -> None:
        """Raise `UnavailableError` if another control plane manages the process and its owner's files.

        A control plane that was suspended while another took over finds out here, before it changes anything.
        """
        if not self._may_act():
            raise UnavailableError(
                f"process {process_id} belongs to another control plane: this one is no longer the leader"
            )

    async def start(self, spec: ProcessSpec) -> ProcessState:
        """Start the process, unless it already runs, with any specification.

        Return when it runs, or with phase Exited and reason StartError if the program cannot be started. A process that
        has ended is started again in the same directory, and its log continues. Raises `ExhaustedError` if the disk has
        no room for the record, `UnavailableError` or `DeadlineError` if the shim does not start.
        """
        self.check(spec.id)
        spec = replace(spec, log_bytes=spec.log_bytes or self._log_bytes)
        record = self._record(spec.id)
        if record and not record.exited:
            if record.shim is None:
                await end_orphans(record)
            elif record.begun:
                return record.state()
        directory = self.directory(spec.id)
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            (directory / GRACE).unlink(missing_ok=True)
        try:
            async with asyncio.timeout(_START_S):
                record = await self._launch(spec, directory)
        except TimeoutError as error:
            await self.stop(spec.id)  # it may still have started
            raise DeadlineError(f"process {spec.id} did not start within {_START_S:g} s") from error
        self._watcher.add(record)
        self._watcher.tell(spec.id)
        return record.state()

    async def stop(self, process_id: str, *, grace_s: float | None = None) -> None:
        """End the process and all its descendants, and return when none of them runs. Its record stays.

        `grace_s` replaces that of the specification. Does nothing if the process has ended or is unknown.
        """
        self.check(process_id)
        record = self._record(process_id)
        if record is None:
            return
        grace_s = record.state().spec.grace_s if grace_s is None else grace_s
        with suppress(OSError):  # on a full disk, the specification's grace time applies
            (record.directory / GRACE).write_text(str(grace_s))
        await end_shim(record, grace_s + _STOP_SLACK_S)
        newer = self._record(process_id)
        if newer and not newer.exited:
            await end_orphans(record)

    async def remove(self, process_id: str) -> None:
        """Stop the process and delete its directory with its record, its logs and the owner's files."""
        await self.stop(process_id)
        directory = self.directory(process_id)
        with disk_errors(directory):
            await asyncio.to_thread(remove_tree, directory)
        self._watcher.tell(process_id)

    # Output and events

    def logs(
        self,
        process_id: str,
        *,
        tail: int | None = None,
        follow: bool = False,
        ended: Callable[[ProcessState], bool] = lambda state: state.phase == "Exited",
    ) -> AsyncIterator[str]:
        """Yield the last `tail` lines of output (None: all that are kept).

        With `follow`, also yield new lines until `ended` is true for the process or it is removed. Raises
        `NotFoundError`.
        """
        if self._record(process_id) is None:
            raise NotFoundError(f"process {process_id!r} does not exist")

        def running() -> bool:
            state = self.get(process_id)
            return follow and state is not None and not ended(state)

        return read_log(self.directory(process_id), tail=tail, running=running)

    async def watch(self) -> AsyncIterator[str]:
        """Yield the ids of processes that were started or removed, or that ended. Never ends by itself.

        It begins with all ids. An id stands for any number of changes: read the state of the process. The remains of a
        lost shim are ended before its id is yielded.
        """
        with self._watcher.subscribe() as changes:
            for record in self._records():
                self._watcher.add(record)
            while True:
                yield await changes.next()

    def _record(self, process_id: str) -> Record | None:
        return Record.read(self.directory(process_id))

    def _records(self) -> Iterator[Record]:
        for directory in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if record := Record.read(directory):
                yield record

    async def _launch(self, spec: ProcessSpec, directory: Path) -> Record:
        """Start a shim, unless the directory has a live one. Return the record of the live shim."""
        run = await asyncio.to_thread(self._run, spec, directory)
        while True:
            answer = await run_shim(spec, run, directory)
            record = self._record(spec.id)
            if answer == "started" and record:
                return record
            if answer != "busy":
                raise start_error(spec.id, answer)
            if record and record.shim and record.begun and not record.exited:
                return record
            await asyncio.sleep(_BUSY_POLL_S)  # a shim that has not started its program yet, or has recorded the end

    def _run(self, spec: ProcessSpec, directory: Path) -> Run:
        """Return what the shim starts. Create the directories that a sandboxed process owns."""
        if spec.sandbox is None:
            termination = f"{directory}/{_TERMINATION}"
            env = {**spec.env, OWNER: str(directory), TERMINATION_LOG: termination}
            return Run(Command(spec.argv, env), termination, groups=self._groups(spec, directory))
        sandbox = spec.sandbox
        termination = str(sandbox.write[0] / _TERMINATION)
        user = self._user(spec) if self.confinement.uses_another_user(sandbox) else None
        with disk_errors(directory):
            for path in sandbox.write:
                give(path, os.geteuid() if user is None else user)
        env = {**spec.env, OWNER: str(directory), TERMINATION_LOG: termination}
        payload = Payload(spec.argv, env, spec.cwd or Path("/"))
        command = self.confinement.command(payload, sandbox, user)
        return Run(command, termination, sandbox, user, self.confinement.level, self._groups(spec, directory))

    def _groups(self, spec: ProcessSpec, directory: Path) -> dict[str, Group]:
        if self.cgroups is None:
            return {}
        processes = spec.sandbox.processes if spec.sandbox else None
        return self.cgroups.groups(
            group_name(directory), memory_bytes=spec.memory_bytes, cpu=spec.cpu, processes=processes
        )

    def _user(self, spec: ProcessSpec) -> int:
        """Return a user id that no other process of Klever has. A restarted process keeps its id."""
        known = self._record(spec.id)
        if known and known.user:
            return known.user
        taken = {record.user for record in self._records()}
        return random.choice([user for user in _USERS if user not in taken])  # noqa: S311 - not a secret
