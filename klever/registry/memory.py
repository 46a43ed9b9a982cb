"""The memory that bodies take: bounded while they are here, and given back afterwards."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from klever.errors import ExhaustedError

__all__ = ["Budget", "release_after_bursts"]

_PAUSE: Final = 5.0
"""Seconds between two looks at what was received."""
_WORTH: Final = 8 << 20
"""Bytes received, from which on memory is worth giving back."""


class Budget:
    """At most `limit` bytes held by all together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """Yield what takes bytes more, until the end of the context; it raises `ExhaustedError` for too many."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self._used + count > self._limit:
                raise ExhaustedError(
                    f"manifests of {self._limit} bytes together are being pushed: try again", reason="TOOMANYREQUESTS"
                )
            self._used += count
            taken += count

        try:
            yield take
        finally:
            self._used -= taken


async def release_after_bursts(received: Callable[[], float]) -> None:
    """Give freed memory back to the system whenever many bytes were received; runs until it is cancelled.

    glibc keeps what was freed between two blocks that are in use: a burst of large manifests left 800 MB behind.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    seen = received()
    while trim is not None:
        await asyncio.sleep(_PAUSE)
        if received() - seen >= _WORTH:
            seen = received()
            await asyncio.to_thread(trim, 0)
