"""The memory of a task's program: how much it may have, and when it may begin.

A program that needs more than every task gets waits for others like it, and until the machine has that much free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from klever.api.text import format_size
from klever.errors import ExhaustedError, UnavailableError
from klever.executors import Task
from klever.process import ProcessManager, ProcessSpec
from klever.process.memory import Memory, check_total, machine_memory, shortage
from klever.process.resources import read_resources

__all__ = ["LARGE", "MEMORY_IN_USE", "MemoryGate"]

LARGE: Final = "large"
"""Label of a process that needs more memory than every task gets."""
_SETTING: Final = "spec.resources.limits.memory"
MEMORY_IN_USE: Final = "MEMORY_IN_USE"
"""Reason of the error for a program that has to wait for memory."""


@dataclass(frozen=True, slots=True)
class MemoryGate:
    """Decides with the processes that run, and with the memory that `machine` returns."""

    processes: ProcessManager
    machine: Callable[[], Memory] = machine_memory

    def limit(self, task: Task, model_bytes: int) -> int | None:
        """Return the memory limit of a task's program, None for no limit.

        Raises `ExhaustedError` if that is more than the machine has, or than the platform allows.
        """
        least = task.memory_bytes or 0
        need = read_resources(task.resources).memory_bytes or max(task.program_memory.of(model_bytes), least)
        what = f"the conversion of {format_size(model_bytes)}"
        if task.most_memory_bytes and need > task.most_memory_bytes:
            raise ExhaustedError(
                f"{what} needs up to {format_size(need)} of memory, and the limit job_memory_bytes is "
                f"{format_size(task.most_memory_bytes)}: set {_SETTING} if less is enough, or start the platform with "
                f"--limit job_memory_bytes={need}",
                reason="LIMIT_EXCEEDED",
            )
        if need > least:
            check_total(need, self.machine(), what, _SETTING)
        return need or None

    async def admit(self, spec: ProcessSpec) -> None:
        """Raise `UnavailableError`, with the reason MEMORY_IN_USE, if the process has to wait for memory."""
        if not spec.labels.get(LARGE) or spec.memory_bytes is None:
            return
        for other in await asyncio.to_thread(self.processes.list):
            if other.spec.labels.get(LARGE) and other.phase != "Exited" and other.spec.id != spec.id:
                name = f"{other.spec.labels['namespace']}/{other.spec.labels['name']}"
                raise UnavailableError(
                    f"waiting for memory: {format_size(spec.memory_bytes)} are needed, and the conversion {name}, "
                    "which needs much as well, runs first",
                    reason=MEMORY_IN_USE,
                )
        if why := shortage(spec.memory_bytes, self.machine()):
            raise UnavailableError(why, reason=MEMORY_IN_USE)
