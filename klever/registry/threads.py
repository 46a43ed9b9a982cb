"""The registry's own threads for blocking calls, so that a slow disk does not delay users of the loop's pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

__all__ = ["Threads"]

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 8


class Threads:
    """A bounded pool of threads."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "registry")

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Start `function` in a thread. Return the future of its result."""
        return asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))

    def close(self) -> None:
        """Wait for the running calls."""
        self._pool.shutdown()
