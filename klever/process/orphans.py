"""Ends processes that a killed shim left behind.

PR_SET_PDEATHSIG ends a child with its shim, but not the processes that the child started. Every descendant of a process
is in its cgroups and, unless it chose another environment, has the process's directory in its environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from klever.process import cgroups
from klever.process.record import Record
from klever.process.shim.names import OWNER
from klever.process.shim.proc import start_ticks

__all__ = ["end_orphans"]

_TIMEOUT_S = 10.0
_POLL_S = 0.01


async def end_orphans(record: Record) -> None:
    """Kill all descendants of a process whose shim has gone, and remove its cgroups."""
    await asyncio.to_thread(_end_orphans, f"{OWNER}={record.directory}".encode(), record.groups)


def _end_orphans(mark: bytes, groups: list[Path]) -> None:
    until = time.monotonic() + _TIMEOUT_S
    killed = dict[int, int | None]()
    while (pids := _marked(mark) | cgroups.members(groups)) or _alive(killed):
        for pid in pids:
            killed[pid] = start_ticks(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            break
        time.sleep(_POLL_S)
    cgroups.remove(groups)


def _alive(killed: dict[int, int | None]) -> bool:
    """Return whether one of the processes still exits. Its environment is empty by then, so that it has no mark."""
    return any(ticks is not None and start_ticks(pid) == ticks for pid, ticks in killed.items())


def _marked(mark: bytes) -> set[int]:
    """Return the processes with `mark` in their environment. Those of other users are unreadable, and not Klever's."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
    return found
