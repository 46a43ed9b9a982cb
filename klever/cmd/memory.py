"""How the C library manages the memory of a process that runs for long."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["return_freed_memory"]

_THRESHOLD: Final = -3
_ARENAS: Final = -8
"""M_MMAP_THRESHOLD and M_ARENA_MAX of mallopt(3)."""
_LARGE: Final = 256 << 10
_MOST_ARENAS: Final = 2


def return_freed_memory() -> None:
    """Return large blocks to the system as soon as they are freed, and share the small ones among threads.

    By default glibc keeps blocks of up to 32 MiB, in eight places for each processor: after a burst of large messages,
    hundreds of MiB stayed.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:  # other C libraries have none
        set_option(_THRESHOLD, _LARGE)
        set_option(_ARENAS, _MOST_ARENAS)
