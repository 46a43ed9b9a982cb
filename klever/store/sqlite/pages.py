"""Lists in pages: a token pins the moment of the first page, for a bounded time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from klever.api.kinds import Kind, Object
from klever.errors import ExpiredError, FieldViolation, InvalidError
from klever.store import Page
from klever.store.selectors import Selector
from klever.store.sqlite.encoding import Encoded, decode
from klever.store.sqlite.schema import Row

__all__ = ["Pages", "Question", "Rest"]

_LIFE_SECONDS = 300.0
_KEPT = 100
_CHUNK = 500

Question = tuple[Kind, str, str, str]
"""The parameters of a list: kind, namespace, labels, fields."""


@dataclass(frozen=True, slots=True)
class Rest:
    """The rest of a list: `rows` from `start` on, as they were at `revision`."""

    question: Question
    rows: tuple[Row, ...]
    revision: int
    start: int = 0
    until: float = 0.0


class Pages:
    """The lists that have further pages. They share their rows with the table, so pinning them costs little."""

    def __init__(self) -> None:
        self._pinned: OrderedDict[str, Rest] = OrderedDict()

    async def page(self, rest: Rest, selector: Selector, limit: int) -> Page:
        """Return the next page of at most `limit` objects, 0 for all."""
        items: Sequence[Object]
        if selector.everything:
            end = min(rest.start + limit, len(rest.rows)) if limit else len(rest.rows)
            items = Encoded([row.data for row in rest.rows[rest.start : end]])
        else:
            items, end = await _select(rest, selector, limit)
        token = self._pin(replace(rest, start=end)) if end < len(rest.rows) else ""
        return Page(items, str(rest.revision), token)

    def find(self, token: str, question: Question) -> Rest:
        """Return the rest that a token pins. The token stays valid: a client may ask for a page again.

        Raises `ExpiredError`, or `InvalidError` if the token belongs to another list.
        """
        rest = self._pinned.get(token)
        if rest is None or rest.until < time.monotonic():
            raise ExpiredError("the page token has expired; start the list again")
        if rest.question != question:
            raise InvalidError(
                violations=(FieldViolation("page_token", "belongs to another list; start again without a token"),)
            )
        return rest

    def _pin(self, rest: Rest) -> str:
        token = secrets.token_urlsafe(12)
        self._pinned[token] = replace(rest, until=time.monotonic() + _LIFE_SECONDS)
        while len(self._pinned) > _KEPT:
            self._pinned.popitem(last=False)
        return token


async def _select(rest: Rest, selector: Selector, limit: int) -> tuple[list[Object], int]:
    """Return up to `limit` objects that match, and where the next page begins."""
    items: list[Object] = []
    for place in range(rest.start, len(rest.rows)):
        if limit and len(items) == limit:
            return items, place
        obj = decode(rest.rows[place].data)
        if selector.matches(obj):
            items.append(obj)
        if place % _CHUNK == _CHUNK - 1:
            await asyncio.sleep(0)
    return items, len(rest.rows)
