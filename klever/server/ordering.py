"""Lists in the order of a time. No store keeps that order, so each page reads and sorts all objects.

A page begins after the last object of the page before. Unlike pages by name, the pages of one list may show different
moments. No object appears twice, and an object that exists all the time is not left out.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

import orjson

from klever.api.kinds import Kind, Object
from klever.errors import FieldViolation, InvalidError
from klever.store import Page, Store

__all__ = ["by_time", "created", "last_seen"]

_AT_MOST = 10_000
_STORE_PAGE = 500

Place = tuple[str, str, str]
"""A time, namespace and name."""


def created(obj: Object) -> Place:
    """Order by creation."""
    metadata = obj["metadata"]
    return metadata["creationTimestamp"], metadata.get("namespace", ""), metadata["name"]


def last_seen(event: Object) -> Place:
    """Order events by the time at which they last happened."""
    metadata = event["metadata"]
    return str(event.get("lastTimestamp") or metadata["creationTimestamp"]), metadata["namespace"], metadata["name"]


async def by_time(
    store: Store,
    kind: Kind,
    namespace: str,
    place: Callable[[Object], Place],
    *,
    size: int,
    token: str,
    labels: str = "",
    fields: str = "",
    newest_first: bool = False,
) -> Page:
    """Return up to `size` objects after the place that the token names.

    Raises `InvalidError` if more are selected than are sorted at once.
    """
    items, version = await _everything(store, kind, namespace, labels, fields)
    items.sort(key=place, reverse=newest_first)
    if token:
        last = _read(token)
        items = [o for o in items if (place(o) < last if newest_first else place(o) > last)]
    page: Sequence[Object] = items[:size]
    return Page(page, version, _token(place(page[-1])) if len(items) > size else "")


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
        violations=(
            FieldViolation("options.order_by", f"more than {_AT_MOST} objects match: select fewer, or order by name"),
        )
    )


def _token(place: Place) -> str:
    return urlsafe_b64encode(orjson.dumps(place)).decode()


def _read(token: str) -> Place:
    try:
        created, namespace, name = orjson.loads(urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidError(
            violations=(
                FieldViolation(
                    "options.page_token",
                    "invalid page token for this order: use next_page_token of a list with the same order_by",
                ),
            )
        ) from error
    return str(created), str(namespace), str(name)
