"""The delay before the next attempt."""

from __future__ import annotations

import random

from klever.errors import KleverError

__all__ = ["Backoff"]

_LONGEST_RETRY_AFTER_S = 60.0
"""The longest delay that a server can request."""


class Backoff:
    """Delays in seconds: `first`, doubled with each attempt up to `maximum`.

    Each delay varies randomly by the fraction `jitter`, so that many clients do not retry at the same moment.
    """

    def __init__(self, first: float = 0.2, maximum: float = 10.0, *, jitter: float = 0.2) -> None:
        self._first = first
        self._maximum = maximum
        self._jitter = jitter
        self._delay = first

    def reset(self) -> None:
        self._delay = self._first

    def next(self, error: Exception | None = None) -> float:
        """Return the next delay, at least the one that the server requested in its error (Retry-After)."""
        delay = self._delay * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - spreads load
        self._delay = min(self._delay * 2, self._maximum)
        asked = error.metadata.get("retry_after", "0") if isinstance(error, KleverError) else "0"
        return max(delay, min(float(asked), _LONGEST_RETRY_AFTER_S))
