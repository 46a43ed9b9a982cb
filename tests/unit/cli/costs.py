"""What a command costs."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

__all__ = ["least_seconds"]


def least_seconds(*command: str | Path) -> float:
    """Return the processor time of the cheapest of eight runs: what else runs here counts little in it."""
    return min(_seconds(*command) for _ in range(8))


def _seconds(*command: str | Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
