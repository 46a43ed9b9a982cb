"""The keys of changed objects, for watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

__all__ = ["Broadcast", "Changes"]

K = TypeVar("K", bound=Hashable)


class Changes(Generic[K]):
    """The keys that changed since one reader took them. A key waits only once, so the keys bound the buffer."""

    def __init__(self) -> None:
        self._keys: dict[K, None] = {}
        self._some = asyncio.Event()

    def add(self, key: K) -> None:
        self._keys[key] = None
        self._some.set()

    async def next(self) -> K:
        """Return the key that has waited longest."""
        await self._some.wait()
        key = next(iter(self._keys))
        del self._keys[key]
        if not self._keys:
            self._some.clear()
        return key


class Broadcast(Generic[K]):
    """Sends changed keys to every watcher."""

    def __init__(self) -> None:
        self._watchers: set[Changes[K]] = set()

    def __bool__(self) -> bool:
        """Whether there are watchers."""
        return bool(self._watchers)

    def tell(self, key: K) -> None:
        for changes in self._watchers:
            changes.add(key)

    @contextmanager
    def subscribe(self) -> Iterator[Changes[K]]:
        """Collect the changes from now on."""
        changes: Changes[K] = Changes()
        self._watchers.add(changes)
        try:
            yield changes
        finally:
            self._watchers.discard(changes)

    async def watch(self, first: Iterable[K]) -> AsyncIterator[K]:
        """Yield the keys in `first`, then each key that changes from now on."""
        with self.subscribe() as changes:
            for key in first:
                changes.add(key)
            while True:
                yield await changes.next()
