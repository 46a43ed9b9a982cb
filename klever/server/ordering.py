"""Lists ordered by creation, which no store keeps: all is read and sorted, and a page begins after the last one's end.

Unlike pages by name, those of one list may be of different moments; none shows an object twice, or leaves one out that
was there all the time.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

import orjson

from klever.api.kinds import Kind, Object
from klever.errors import FieldViolation, InvalidError
from klever.store import Page, Store

__all__ = ["by_creation"]

_AT_MOST = 10_000
_STORE_PAGE = 500

Place = tuple[str, str, str]
"""Creation time, namespace and name."""


async def by_creation(
    store: Store, kind: Kind, namespace: str, *, labels: str, fields: str, newest_first: bool, size: int, token: str
) -> Page:
    """Return up to `size` objects after the place that the token tells.

    Raises `InvalidError` if more are selected than are sorted at once.
    """
    items, version = await _everything(store, kind, namespace, labels, fields)
    items.sort(key=_place, reverse=newest_first)
    if token:
        last = _read(token)
        items = [o for o in items if (_place(o) < last if newest_first else _place(o) > last)]
    page: Sequence[Object] = items[:size]
    return Page(page, version, _token(_place(page[-1])) if len(items) > size else "")


async def _everything(store: Store, kind: Kind, namespace: str, labels: str, fields: str) -> tuple[list[Object], str]:
    items: list[Object] = []
    token = ""
    while len(items) <= _AT_MOST:
        page = await store.list(kind, namespace, labels=labels, fields=fields, limit=_STORE_PAGE, token=token)
        items += page.items
        token = page.next_token
        if not token:
            return items, page.resource_version
    raise InvalidError(
        violations=(FieldViolation("options.order_by", f"only {_AT_MOST} objects are sorted: select fewer"),)
    )


def _place(obj: Object) -> Place:
    metadata = obj["metadata"]
    return metadata["creationTimestamp"], metadata.get("namespace", ""), metadata["name"]


def _token(place: Place) -> str:
    return urlsafe_b64encode(orjson.dumps(place)).decode()


def _read(token: str) -> Place:
    try:
        created, namespace, name = orjson.loads(urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidError(
            violations=(FieldViolation("options.page_token", "was not given for a list in this order"),)
        ) from error
    return str(created), str(namespace), str(name)
