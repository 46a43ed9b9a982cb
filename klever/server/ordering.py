"""Lists objects in the order of fields. No store keeps that order, so each page reads and sorts all objects.

A page begins after the last object of the previous page. Unlike pages by name, the pages of one list may show different
moments. No object appears twice, and no object that exists throughout is missing.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson

from klever.api.filters import Order
from klever.api.kinds import Kind, Object
from klever.errors import InvalidError
from klever.server.requests import violation
from klever.store import Store

__all__ = ["everything", "sorted_page"]

_AT_MOST: Final = 10_000
_STORE_PAGE: Final = 500

T = TypeVar("T")
Place = list[Any]
"""The sort key of an item: the values of the ordered fields, then a unique value as tie-breaker."""


async def everything(
    store: Store, kind: Kind, namespace: str, labels: str = "", fields: str = ""
) -> tuple[list[Object], str]:
    """Return all selected objects, and the version of the list.

    Raise `InvalidError` if they are too many to sort.
    """
    items: list[Object] = []
    token = ""
    while len(items) <= _AT_MOST:
        page = await store.list(kind, namespace, labels=labels, fields=fields, limit=_STORE_PAGE, token=token)
        items += page.items
        token = page.next_token
        if not token:
            return items, page.resource_version
    raise violation("order_by", f"more than {_AT_MOST} objects match: select fewer, or order by name")


def sorted_page(
    items: list[T], order: Order, place: Callable[[T], Place], *, size: int, token: str
) -> tuple[list[T], str]:
    """Return up to `size` items after the position in the token, and the token of the next page."""
    placed = sorted(((order.key(at), at, item) for item in items for at in (place(item),)), key=lambda found: found[0])
    if token:
        last = order.key(_read(token, order, placed[0][1] if placed else None))
        placed = [found for found in placed if found[0] > last]
    page = placed[:size]
    return [item for _, _, item in page], _token(order, page[-1][1]) if len(placed) > size else ""


def _token(order: Order, place: Place) -> str:
    return urlsafe_b64encode(orjson.dumps([order.text, *place])).decode()


def _read(token: str, order: Order, like: Place | None) -> Place:
    """Return the position in a token. Its values have the types of those in `like`."""
    try:
        text, *values = orjson.loads(urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError) as error:
        raise _invalid() from error
    if text != order.text or (like is not None and list(map(type, values)) != list(map(type, like))):
        raise _invalid()
    place: Place = values
    return place


def _invalid() -> InvalidError:
    return violation(
        "page_token", "invalid page token for this order: use next_page_token of a list with the same order_by"
    )
