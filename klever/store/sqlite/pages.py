"""Pages of a list: a token pins the moment of the first page, for a bounded time."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from klever.errors import ExpiredError
from klever.store.sqlite.schema import Row

__all__ = ["Pages", "Pinned"]

_LIFE_SECONDS = 300.0
_KEPT = 100


@dataclass(frozen=True, slots=True)
class Pinned:
    """The rest of a list: `rows` from `start` on, as they were at `revision`."""

    rows: tuple[Row, ...]
    start: int
    revision: int
    until: float


class Pages:
    """The lists that have further pages. Rows are references: pinning them costs little."""

    def __init__(self) -> None:
        self._pinned: OrderedDict[str, Pinned] = OrderedDict()

    def pin(self, rows: tuple[Row, ...], start: int, revision: int) -> str:
        token = secrets.token_urlsafe(12)
        self._pinned[token] = Pinned(rows, start, revision, time.monotonic() + _LIFE_SECONDS)
        while len(self._pinned) > _KEPT:
            self._pinned.popitem(last=False)
        return token

    def find(self, token: str) -> Pinned:
        """Return what a token pins; it stays good, a page may be asked for again. Raises `ExpiredError`."""
        pinned = self._pinned.get(token)
        if pinned is None or pinned.until < time.monotonic():
            raise ExpiredError("the page token is too old: begin the list again")
        return pinned
