"""The memory of this machine that replicas may have: what they request, and what is free."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from klever.api.text import format_size
from klever.errors import ExhaustedError

__all__ = ["Room"]

_MEMINFO: Final = Path("/proc/meminfo")
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""The memory limit of the cgroup of a container (cgroups v2 and v1)."""


class Room:
    """Admits the replicas that request memory, in bytes. Those that request none are always admitted.

    `total` is the machine's memory, and `available` returns how much of it is free now.
    """

    def __init__(self, total: int | None = None, available: Callable[[], int] | None = None) -> None:
        self._total = _total() if total is None else total
        self._available = available or _available
        self._requested: dict[str, int] = {}

    def take(self, process: str, requested: int) -> None:
        """Admit a process before its start. Raises `ExhaustedError`, reason NO_MEMORY."""
        self._requested.pop(process, None)
        others = sum(self._requested.values())
        free = min(self._total - others, self._available())
        if requested > free:
            raise ExhaustedError(
                f"the replica requests {format_size(requested)} of memory, and {format_size(max(free, 0))} of "
                f"{format_size(self._total)} are free: free some, request less, or use the strategy Recreate",
                reason="NO_MEMORY",
            )
        self.note(process, requested)

    def note(self, process: str, requested: int) -> None:
        """Count a process that runs already."""
        if requested:
            self._requested[process] = requested

    def release(self, process: str) -> None:
        """Forget a process that has ended."""
        self._requested.pop(process, None)


def _total() -> int:
    """Return the memory of the machine, or of the container in which Klever runs."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # there is no such cgroup, or its limit is `max`
            return min(physical, int(path.read_text()))
    return physical


def _available() -> int:
    """Return the free memory, and what the kernel would give back (proc_meminfo(5), MemAvailable)."""
    for line in _MEMINFO.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) << 10
    return _total()
