"""The memory of request bodies: bounded while they are in use, and returned to the system afterwards."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from klever.errors import ExhaustedError

__all__ = ["Budget", "release_after_bursts"]

_PAUSE: Final = 5.0
"""Seconds between two checks of the bytes received."""
_WORTH: Final = 8 << 20
"""The number of received bytes after which memory is returned."""


class Budget:
    """A limit on the bytes that all holders have together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes bytes until the context ends. It raises `ExhaustedError` beyond the limit."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self._used + count > self._limit:
                raise ExhaustedError(
                    f"manifests of {self._limit} bytes in total are being pushed: try again later",
                    reason="TOOMANYREQUESTS",
                )
            self._used += count
            taken += count

        try:
            yield take
        finally:
            self._used -= taken


async def release_after_bursts(received: Callable[[], float]) -> None:
    """Return freed memory to the system whenever many bytes were received. Runs until it is cancelled.

    glibc keeps freed memory between two blocks that are in use: a burst of large manifests left 800 MB behind.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    seen = received()
    while trim is not None:
        await asyncio.sleep(_PAUSE)
        if received() - seen >= _WORTH:
            seen = received()
            await asyncio.to_thread(trim, 0)
