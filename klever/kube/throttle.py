"""Client-side flow control: a token bucket, as client-go's."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Throttle"]


class Throttle:
    """At most `qps` requests a second in the long run, `burst` at once; those who wait go in their order."""

    def __init__(self, qps: float, burst: int) -> None:
        self._interval = 1.0 / qps
        self._capacity = burst * self._interval
        self._next = 0.0

    async def wait(self) -> None:
        """Take a token, waiting for it if need be."""
        now = time.monotonic()
        self._next = max(self._next, now - self._capacity) + self._interval
        if self._next > now:
            await asyncio.sleep(self._next - now)
