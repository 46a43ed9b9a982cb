"""Who holds a data directory: those who do leave a record, so that `klever down` can ask them to stop.

A record is a file `PID` with the process's start time, in clock ticks since the machine started: who was given the
number since is not taken for the holder.
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
    """Have this process on record; one that holds it `alone` knows that all other records are of the past."""
    record = directory / str(os.getpid())
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        for old in directory.iterdir() if alone else ():
            old.unlink(missing_ok=True)
        record.write_text(str(start_ticks(os.getpid())))
    except OSError as error:  # a full disk: better to go on without than not at all
        log.warning("`klever down` will not find this process: %s", error)
    try:
        yield
    finally:
        with suppress(OSError):
            record.unlink(missing_ok=True)


def end_holders(directory: Path, timeout_s: float) -> tuple[int, ...]:
    """Send SIGTERM to all who are on record, and wait for their end; return their process ids.

    Raises `DeadlineError` for one that goes on, `PermissionDeniedError` for another user's.
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
                    f"process {pid} was asked to stop and has not within {timeout_s:g} s: end it with "
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
    """A pidfd of the process on record; None if that has ended."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    # Compared after it was opened: from now on the number cannot be another's.
    with suppress(OSError):
        if (directory / str(pid)).read_text() == str(start_ticks(pid)):
            return handle
    os.close(handle)
    return None


def _ask(pid: int, handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return  # it has ended meanwhile
    except PermissionError as error:
        raise PermissionDeniedError(f"process {pid} belongs to another user: stop it as that one") from error
