"""Callbacks for the progress of transfers."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "no_progress"]

Progress = Callable[[int, int], None]
"""Called often with (bytes done, total bytes)."""


def no_progress(_done: int, _total: int) -> None:
    """Ignore the progress."""
