"""The memory of this machine that replicas may have: what they request, and what is free."""

from __future__ import annotations

from collections.abc import Callable

from klever.api.text import format_size
from klever.errors import ExhaustedError
from klever.process.memory import machine_memory

__all__ = ["Room"]


class Room:
    """Admits the replicas that request memory, in bytes. Those that request none are always admitted.

    `total` is the machine's memory, and `available` returns how much of it is free now.
    """

    def __init__(self, total: int | None = None, available: Callable[[], int] | None = None) -> None:
        self._total = machine_memory().total if total is None else total
        self._available = available or (lambda: machine_memory().available)
        self._requested: dict[str, int] = {}

    @property
    def share(self) -> int:
        """The memory that a replica may use if it has no limit of its own: no model can use up the machine."""
        return self._total * 3 // 4

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
