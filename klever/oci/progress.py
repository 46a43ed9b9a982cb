"""How transfers tell what they have done."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "no_progress"]

Progress = Callable[[int, int], None]
"""Told of (bytes done, bytes in all), often."""


def no_progress(_done: int, _total: int) -> None:
    """Nobody watches."""
