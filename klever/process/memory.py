"""The memory of this machine, and whether what needs much of it may run. Source: proc(5), meminfo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from klever.api.text import format_size
from klever.errors import ExhaustedError
from klever.process import cgroups
from klever.process.shim.proc import field

__all__ = ["INSUFFICIENT", "Memory", "check_total", "machine_memory", "shortage"]

INSUFFICIENT: Final = "INSUFFICIENT_MEMORY"
"""The reason of the error for a process that needs more memory than the machine has."""
_MEMINFO: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that processes here may have in all, and bytes that they may have now."""

    total: int
    available: int


def machine_memory(meminfo: Path = _MEMINFO) -> Memory:
    """Return the memory of the machine, or of the container in which this process runs."""
    total, available = field(str(meminfo), b"MemTotal:"), field(str(meminfo), b"MemAvailable:")
    limit = cgroups.memory_limit() or total
    return Memory(min(total, limit), min(available, limit))


def check_total(need: int, memory: Memory, what: str, setting: str) -> None:
    """Raise `ExhaustedError` if `what` needs more bytes than the machine has. `setting` names what sets the bytes."""
    if need > memory.total:
        raise ExhaustedError(
            f"{what} needs up to {format_size(need)} of memory, and this machine has {format_size(memory.total)}: "
            f"use a machine with more memory, or set {setting} if less is enough",
            reason=INSUFFICIENT,
        )


def shortage(need: int, memory: Memory) -> str:
    """Return why a process that needs `need` bytes must wait. Empty if it can start now."""
    if need <= memory.available:
        return ""
    return (
        f"waiting for memory: {format_size(need)} are needed, and {format_size(memory.available)} of this machine's "
        f"{format_size(memory.total)} are free"
    )
