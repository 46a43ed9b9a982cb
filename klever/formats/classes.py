"""The class names of models that only number their classes."""

from __future__ import annotations

from typing import Final

from klever.errors import InvalidError

__all__ = ["numbered"]

_MOST: Final = 10_000


def numbered(count: int) -> tuple[str, ...]:
    """Return the names of so many classes: `0`, `1`, …. Raises `InvalidError` beyond 10,000."""
    if count > _MOST:
        raise InvalidError(f"it must have at most {_MOST} classes")
    return tuple(map(str, range(count)))
