"""Returns freed memory to the system."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Final

__all__ = ["release_after_bursts"]

_PAUSE: Final = 5.0
"""Seconds between two looks at the memory."""
_WORTH: Final = 16 << 20
"""Bytes of growth after which memory is returned."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM: Final = Path("/proc/self/statm")


async def release_after_bursts() -> None:
    """Return freed memory to the system whenever the process has grown. Runs until it is cancelled.

    glibc keeps freed memory between two blocks that are in use: a burst of large manifests left 800 MB behind.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    settled = _resident()
    while trim is not None:
        await asyncio.sleep(_PAUSE)
        if _resident() - settled >= _WORTH:
            await asyncio.to_thread(trim, 0)
            settled = _resident()


def _resident() -> int:
    """Return the memory that the process holds, in bytes (proc_pid_statm(5))."""
    return int(_STATM.read_text().split()[1]) * _PAGE
