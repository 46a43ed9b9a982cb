"""A cache of recently used bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K", bound=Hashable)

_MOST_BYTES: Final = 16 << 20


class Recent(Generic[K]):
    """A least-recently-used cache of at most `most` entries and 16 MiB."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._entries: OrderedDict[K, bytes] = OrderedDict()

    def find(self, key: K) -> bytes | None:
        """Return an entry, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def keep(self, key: K, content: bytes) -> None:
        self._bytes += len(content) - len(self._entries.get(key, b""))
        self._entries[key] = content
        while len(self._entries) > self._most or self._bytes > _MOST_BYTES:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= len(dropped)
