"""The processes that hold a data directory. Each leaves a record, so that `klever down` can stop it.

A record is a file `PID` with the process's start time, in clock ticks since the machine started: another process with
the same number is not the holder.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from klever.errors import DeadlineError, PermissionDeniedError
from klever.process.shim.proc import start_ticks

__all__ = ["end_holders", "recorded"]

log = logging.getLogger(__name__)


@contextmanager
def recorded(directory: Path, *, alone: bool) -> Iterator[None]:
    """Record this process. If it holds the directory `alone`, all other records are outdated and are removed."""
    record = directory / str(os.getpid())
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        for old in directory.iterdir() if alone else ():
            old.unlink(missing_ok=True)
        record.write_text(str(start_ticks(os.getpid())))
    except OSError as error:  # on a full disk, continue without a record
        log.warning("`klever down` will not find this process: %s", error)
    try:
        yield
    finally:
        with suppress(OSError):
            record.unlink(missing_ok=True)


def end_holders(directory: Path, timeout_s: float) -> tuple[int, ...]:
    """Send SIGTERM to all recorded processes, wait for their end, and return their process ids.

    Raises `DeadlineError` if one does not end, `PermissionDeniedError` if one belongs to another user.
    """
    handles = {pid: handle for pid in _pids(directory) if (handle := _open(directory, pid)) is not None}
    deadline = time.monotonic() + timeout_s
    try:
        for pid, handle in handles.items():
            _ask(pid, handle)
        for pid, handle in handles.items():
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            if not ended.poll(max(deadline - time.monotonic(), 0) * 1000):
                raise DeadlineError(
                    f"process {pid} did not stop within {timeout_s:g} s: end it with "
                    f"`kill -9 {pid}`, then run `klever down` again"
                )
    finally:
        for handle in handles.values():
            os.close(handle)
    return tuple(handles)


def _pids(directory: Path) -> list[int]:
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return sorted(int(name) for name in names if name.isdecimal())


def _open(directory: Path, pid: int) -> int | None:
    """Return a pidfd of the recorded process; None if it has ended."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    # Compared after opening the pidfd: from now on no other process can have the number.
    with suppress(OSError):
        if (directory / str(pid)).read_text() == str(start_ticks(pid)):
            return handle
    os.close(handle)
    return None


def _ask(pid: int, handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return  # ended meanwhile
    except PermissionError as error:
        raise PermissionDeniedError(f"process {pid} belongs to another user: run `klever down` as that user") from error
