"""The recent changes of one kind, in order. Watches read them.

Watchers have no queues: a watcher is a place in this history, and a watcher that is too slow finds that its place is
gone. Memory is therefore bounded, whatever the watchers do.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from klever.errors import ExpiredError

__all__ = ["Change", "History"]

MAX_CHANGES = 10_000
MAX_BYTES = 32 << 20


class Change(NamedTuple):
    """One committed change. `old` and `new` are encoded objects; for a deletion, `new` is the last state."""

    namespace: str
    name: str
    uid: str
    revision: int
    old: bytes | None
    new: bytes
    deleted: bool = False

    @property
    def size(self) -> int:
        return len(self.new) + (len(self.old) if self.old else 0)


class History:
    """Changes are numbered without gaps, so that arithmetic finds a place.

    No change after the revision `complete_from` is missing.
    """

    def __init__(self, revision: int, max_changes: int = MAX_CHANGES, max_bytes: int = MAX_BYTES) -> None:
        self.complete_from = revision
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._changes: list[Change] = []
        self._bytes = 0
        self._dropped = 0

    @property
    def end(self) -> int:
        """The place after the last change."""
        return self._dropped + len(self._changes)

    def append(self, change: Change) -> None:
        self._changes.append(change)
        self._bytes += change.size
        if len(self._changes) > self._max_changes or self._bytes > self._max_bytes:
            self._trim()

    def place(self, revision: int) -> int:
        """Return the place after a revision. Raises `ExpiredError` if changes since then are gone."""
        if revision < self.complete_from:
            raise ExpiredError(
                f"resource version {revision} is too old: the oldest kept is {self.complete_from}; list again"
            )
        return self._dropped + bisect_right(self._changes, revision, key=lambda change: change.revision)

    def read(self, place: int, max_changes: int, max_bytes: int) -> list[Change]:
        """Return the changes from a place: at least one if any exists, then up to the bounds.

        Raises `ExpiredError` if the place is gone.
        """
        if place < self._dropped:
            raise ExpiredError("the watch fell behind the changes; list again")
        chunk: list[Change] = []
        size = 0
        first = place - self._dropped
        for change in self._changes[first : first + max_changes]:
            size += change.size
            if chunk and size > max_bytes:
                break
            chunk.append(change)
        return chunk

    def _trim(self) -> None:
        """Drop the oldest quarter at once, because removing from a list's head costs its length."""
        count = 0
        while len(self._changes) - count > self._max_changes * 3 // 4 or self._bytes > self._max_bytes * 3 // 4:
            self._bytes -= self._changes[count].size
            count += 1
        self.complete_from = self._changes[count - 1].revision
        self._dropped += count
        del self._changes[:count]
