"""How long to wait before the next attempt."""

from __future__ import annotations

import random

from klever.errors import KleverError

__all__ = ["Backoff"]

_MOST_ASKED = 60.0
"""Seconds; a server that asks for more is asked again all the same."""


class Backoff:
    """Delays in seconds: `first`, doubled with each attempt, `maximum` at the most; spread, as many may wait alike."""

    def __init__(self, first: float = 0.2, maximum: float = 10.0) -> None:
        self._first = first
        self._maximum = maximum
        self._delay = first

    def reset(self) -> None:
        self._delay = self._first

    def next(self, error: Exception | None = None) -> float:
        """Return the next delay; no shorter than what the server asked for with its error (Retry-After)."""
        delay = self._delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
        self._delay = min(self._delay * 2, self._maximum)
        asked = error.metadata.get("retry_after", "0") if isinstance(error, KleverError) else "0"
        return max(delay, min(float(asked), _MOST_ASKED))
