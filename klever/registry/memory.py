"""Returns the memory of request bodies to the system."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from typing import Final

__all__ = ["release_after_bursts"]

_PAUSE: Final = 5.0
"""Seconds between two checks of the bytes received."""
_WORTH: Final = 8 << 20
"""The number of received bytes after which memory is returned."""


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
