"""Tells watchers which Servings changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from klever.backends import ServingKey

__all__ = ["Changes"]


class Changes:
    """Broadcasts keys. A watcher that is slow gets a key once, however often it changed: its buffer is bounded by the
    number of Servings.
    """

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()

    def tell(self, key: ServingKey) -> None:
        for watcher in self._watchers:
            watcher.add(key)

    async def watch(self, first: Iterable[ServingKey]) -> AsyncIterator[ServingKey]:
        """Yield the keys in `first`, then each that changes from now on."""
        watcher = _Watcher()
        for key in first:
            watcher.add(key)
        self._watchers.add(watcher)
        try:
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    def __init__(self) -> None:
        self._pending: dict[ServingKey, None] = {}
        self._some = asyncio.Event()

    def add(self, key: ServingKey) -> None:
        self._pending[key] = None
        self._some.set()

    async def next(self) -> ServingKey:
        await self._some.wait()
        key = next(iter(self._pending))
        del self._pending[key]
        if not self._pending:
            self._some.clear()
        return key
