"""Waits for the end of shims with pidfds."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from klever.changes import Broadcast, Changes
from klever.errors import UnavailableError
from klever.process.orphans import end_orphans
from klever.process.record import Record

__all__ = ["Watcher", "end_shim"]

_KILL_S = 5.0


class Watcher:
    """Notifies subscribers of changed processes. Without subscribers it watches no shim."""

    def __init__(self) -> None:
        self._subscribers: Broadcast[str] = Broadcast()
        self._handles: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def subscribe(self) -> Iterator[Changes[str]]:
        """Collect the changes from now on."""
        try:
            with self._subscribers.subscribe() as changes:
                yield changes
        finally:
            if not self._subscribers:
                for process_id in list(self._handles):
                    self._close(process_id)

    def tell(self, process_id: str) -> None:
        """Notify subscribers of a changed process."""
        self._subscribers.tell(process_id)

    def add(self, record: Record) -> None:
        """Notify subscribers of a changed process, now and when its shim has ended."""
        if not self._subscribers:
            return
        process_id = record.directory.name
        self._close(process_id)
        handle = _open_shim(record)
        if handle is None:
            self._ended(process_id, record)
        else:
            self._handles[process_id] = handle
            asyncio.get_running_loop().add_reader(handle, self._ended, process_id, record)
            self.tell(process_id)

    def _ended(self, process_id: str, record: Record) -> None:
        self._close(process_id)
        _reap(record)
        newer = Record.read(record.directory)
        if newer is None or newer.exited:
            self.tell(process_id)
            return
        task = asyncio.get_running_loop().create_task(self._lost(process_id, record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lost(self, process_id: str, record: Record) -> None:
        try:
            await end_orphans(record)
        finally:
            self.tell(process_id)

    def _close(self, process_id: str) -> None:
        handle = self._handles.pop(process_id, None)
        if handle is not None:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)


async def end_shim(record: Record, timeout_s: float) -> None:
    """Send SIGTERM to the record's shim and wait for its end. Kill it after `timeout_s` seconds.

    Does nothing if it has ended. Raises `UnavailableError` if it survives SIGKILL.
    """
    handle = _open_shim(record)
    if handle is None:
        return
    try:
        _signal(handle, signal.SIGTERM)
        if not await _wait(handle, timeout_s):
            _signal(handle, signal.SIGKILL)
            if not await _wait(handle, _KILL_S):
                raise UnavailableError(f"process {record.directory.name} did not end after SIGKILL")
    finally:
        os.close(handle)
    _reap(record)


def _reap(record: Record) -> None:
    """Reap an ended shim if this process is init (the first process of a container)."""
    with suppress(ChildProcessError):
        os.waitpid(record.content["shim_pid"], os.WNOHANG)


def _open_shim(record: Record) -> int | None:
    """Return a pidfd of the record's shim; None if it has ended."""
    pid = record.shim
    if pid is None:
        return None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if record.shim is None:  # another process may have got the number in between
        os.close(handle)
        return None
    return handle


def _signal(handle: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


async def _wait(handle: int, timeout_s: float) -> bool:
    """Return whether the process ended in time."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
    return True
