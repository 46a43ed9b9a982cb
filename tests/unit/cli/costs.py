"""What commands cost."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["least_seconds", "slowness"]

_RUNS = 30
_BARE_SECONDS = 0.015
"""What a bare interpreter takes on the machine that the limits are for."""


def least_seconds(*commands: Sequence[str | Path]) -> list[float]:
    """Return the processor time of the cheapest run of each: what else runs here can only add to it.

    They take turns, so that a machine that is slow for a while is so for all of them.
    """
    rounds = [[_seconds(command) for command in commands] for _ in range(_RUNS)]
    return [min(column) for column in zip(*rounds, strict=True)]


def _seconds(command: Sequence[str | Path]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def slowness(bare: float) -> float:
    """How many times slower than the machine of the limits this one runs a bare interpreter; 1 if it is faster."""
    return max(1.0, bare / _BARE_SECONDS)
