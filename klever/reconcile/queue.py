"""A work queue like client-go's: a key waits only once, and has only one worker at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from klever.backoff import Backoff

__all__ = ["Bucket", "WorkQueue"]

K = TypeVar("K", bound=Hashable)


class Bucket:
    """Delays for all keys together: `burst` at once, `rate` a second on average. The defaults are client-go's."""

    def __init__(self, rate: float = 10.0, burst: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / rate
        self._capacity = burst * self._interval
        self._clock = clock
        self._next = float("-inf")

    def next(self) -> float:
        now = self._clock()
        self._next = max(self._next, now - self._capacity) + self._interval
        return max(self._next - now, 0.0)


class WorkQueue(Generic[K]):
    """Keys to work on. Its size is bounded by the number of distinct keys.

    A key that fails waits `first` seconds, doubled with each failure up to `longest`. The defaults are client-go's.
    """

    def __init__(self, bucket: Bucket | None = None, *, first: float = 0.005, longest: float = 1000.0) -> None:
        self._first = first
        self._longest = longest
        self._backoffs: dict[K, Backoff] = {}
        self._bucket = bucket or Bucket()
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Add the key for a worker, at once or after its current worker."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add the key after a delay. The earlier of two such calls applies."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self.add, key)

    def retry(self, key: K) -> float:
        """Add the key after its backoff, or later if many keys fail. Return the delay in seconds."""
        if key not in self._backoffs:
            self._backoffs[key] = Backoff(self._first, self._longest, jitter=0.0)  # the bucket spreads them
        delay = max(self._backoffs[key].next(), self._bucket.next())
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Forget the failures of the key."""
        self._backoffs.pop(key, None)

    async def get(self) -> K:
        """Wait for a key. The caller must call `done` afterwards."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """Mark the work on the key as finished. The key goes to a worker again if it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
