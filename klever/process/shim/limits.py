"""Polls the limits of a child that no cgroup enforces: memory, disk space, processes and threads."""

from __future__ import annotations

import os
import time

from .files import MAX_FILES, disk_use, unlinked
from .groups import Groups
from .names import TASKS_PER_PROCESS
from .proc import descendants, field, memory, threads

TYPE_CHECKING = False  # as in typing, whose import costs too much memory here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Limits", "Verdict"]

Verdict = tuple[str, str]
"""Reason and message of an exceeded limit."""

_LOOK_S = (0.02, 0.09)
"""Seconds between checks of the memory: shorter when it is closer to the limit."""
_FILLED_PER_S = 8 << 30
"""Bytes that no process fills within a second: memory that is far from its limit is checked less often."""
_IDLE_LOOK_S = 1.0
"""Seconds between checks of the disk space and the number of processes."""


class Limits:
    """Finds the limit that a child exceeds. `look_at` is the time of the next check; 0 for never."""

    def __init__(self, spec: Mapping[str, Any], run: Mapping[str, Any], groups: Groups) -> None:
        self._memory_bytes: int = spec["memory_bytes"] or 0
        self._run = run
        self._groups = groups
        self._me = os.getpid()
        self.look_at = time.monotonic() if self._memory_bytes or run["write"] else 0.0
        self._look_at_disk = self.look_at
        self._unseen = 0
        """Bytes of shared memory that no process has mapped, from the last check of the disk."""

    def exceeded(self, now: float) -> Verdict | None:
        """Check the child's processes if that is due. `now` is a time of the monotonic clock."""
        if not self.look_at or now < self.look_at:
            return None
        processes = descendants(self._me)
        used = self._memory_use(processes)
        self.look_at = now + self._pause(used)
        return (
            self._groups.verdict()
            or self._over_memory(used)
            or self._over_processes(processes)
            or self._over_disk(now, processes)
        )

    def _memory_use(self, processes: list[int]) -> int:
        if not self._memory_bytes or "memory" in self._groups:
            return 0
        return memory(processes, self._memory_bytes) + self._unseen

    def _pause(self, used: int) -> float:
        if not self._memory_bytes or "memory" in self._groups:
            return _IDLE_LOOK_S
        shortest, longest = _LOOK_S
        free = self._memory_bytes - used
        return min(max(shortest, longest * free / self._memory_bytes, free / _FILLED_PER_S), _IDLE_LOOK_S)

    def _over_memory(self, used: int) -> Verdict | None:
        if not self._memory_bytes or used <= self._memory_bytes:
            return None
        return ("OOMKilled", f"used {used >> 20} MiB of memory; the limit is {self._memory_bytes >> 20} MiB")

    def _over_processes(self, processes: list[int]) -> Verdict | None:
        if not self._run["write"]:
            return None
        most = self._run["processes"]
        count, tasks = len(processes), threads(processes)
        if count <= most and tasks <= TASKS_PER_PROCESS * most:
            return None
        limits = f"{most} and {TASKS_PER_PROCESS * most}"
        return ("TooManyProcesses", f"ran {count} processes and {tasks} threads; the limits are {limits}")

    def _over_disk(self, now: float, processes: list[int]) -> Verdict | None:
        if not self._run["write"] or now < self._look_at_disk:
            return None
        limit = self._run["write_bytes"]
        used, files = disk_use(self._run["write"])
        shared, deleted = unlinked(processes)
        used += deleted
        self._unseen = max(0, shared - sum(field(f"/proc/{pid}/status", b"RssShmem:") for pid in processes))
        self._look_at_disk = now + max(_IDLE_LOOK_S, 20 * (time.monotonic() - now))
        if used <= limit and files <= MAX_FILES:
            return None
        what = f"wrote {used >> 20} MiB to disk in {files} files"
        return ("DiskFull", f"{what}; the limits are {limit >> 20} MiB and {MAX_FILES} files")
