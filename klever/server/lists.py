"""Lists the objects of one kind, and the events about them, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Generic

from klever.api.codec import from_object
from klever.api.filters import Filter, Order, parse_filter, parse_order
from klever.api.kinds import EVENT, Object
from klever.errors import NotFoundError
from klever.server.objects import M_co, Objects
from klever.server.ordering import everything, sorted_page
from klever.server.requests import MAX_PAGE_BYTES, list_namespace, page_size
from klever.store import Page
from klever.store.selectors import selectable
from klever.v1alpha1.meta_pb2 import Event

__all__ = ["Lists"]

_BY_NAME: Final = "metadata.name"
_LAST_SEEN: Final = "last_timestamp"


class Lists(Generic[M_co]):
    """Lists by page_size, page_token, filter, order_by and, for objects with labels, label_selector."""

    def __init__(self, objects: Objects[M_co]) -> None:
        self._objects = objects

    async def page(self, request: Any) -> tuple[list[M_co], Page]:
        """Return the requested page, or a shorter one if the page does not fit into a message."""
        size = page_size(request.page_size)
        filter_ = parse_filter(request.filter, self._objects.message)
        order = parse_order(request.order_by, self._objects.message, _BY_NAME)
        while True:
            page = await self._page(request, filter_, order, size)
            items = [self._objects.read(o) for o in page.items]
            if len(items) <= 1 or sum(item.ByteSize() for item in items) <= MAX_PAGE_BYTES:
                return items, page
            size = len(items) // 2

    async def _page(self, request: Any, filter_: Filter, order: Order, size: int) -> Page:
        objects, namespace, labels = self._objects, list_namespace(request), request.label_selector
        fields, left = filter_.split(selectable(objects.kind))
        if order.text != _BY_NAME:
            found, version = await everything(objects.store, objects.kind, namespace, labels, fields)
            items, token = sorted_page(
                self._matching(left, found), order, lambda o: _place(order, o), size=size, token=request.page_token
            )
            return Page(items, version, token)
        token = request.page_token
        while True:  # a page without a match is not the last one
            page = await objects.store.list(
                objects.kind, namespace, labels=labels, fields=fields, limit=size, token=token
            )
            kept = self._matching(left, page.items)
            token = page.next_token
            if kept or not token:
                return Page(kept, page.resource_version, token)

    def _matching(self, filter_: Filter, found: Sequence[Object]) -> list[Object]:
        if filter_.test is None:
            return list(found)
        return [o for o in found if filter_.matches(self._objects.read(o))]

    async def events(self, request: Any) -> tuple[list[Event], str]:
        """Return the events about objects of this kind, by default the oldest first, and the token of the next page.

        For a named object, leave out the events of an earlier object of the same name while one of that name exists.
        """
        namespace = list_namespace(request)
        selector = f"involvedObject.kind={self._objects.kind.kind}"
        if request.name:
            selector += f",involvedObject.name={_escaped(request.name)}"
        if request.name and namespace:
            with suppress(NotFoundError):
                named = await self._objects.store.get(self._objects.kind, self._objects.key(namespace, request.name))
                selector += f",involvedObject.uid={named['metadata']['uid']}"
        filter_ = parse_filter(request.filter, Event.DESCRIPTOR, "involved_object.name")
        order = parse_order(request.order_by, Event.DESCRIPTOR, _LAST_SEEN)
        found, _ = await everything(self._objects.store, EVENT, namespace, fields=selector)
        events = [from_object(event, Event) for event in found]
        return sorted_page(
            [event for event in events if filter_.matches(event)],
            order,
            lambda event: _event_place(order, event),
            size=page_size(request.page_size),
            token=request.page_token,
        )


def _place(order: Order, obj: Object) -> list[Any]:
    metadata = obj["metadata"]
    return [*order.values_of_object(obj), metadata.get("namespace", ""), metadata["name"]]


def _event_place(order: Order, event: Event) -> list[Any]:
    values = order.values_of_message(event)
    if order.fields[0].names == (_LAST_SEEN,) and not event.HasField("last_timestamp"):
        values[0] = event.metadata.creation_timestamp.ToJsonString()
    return [*values, event.metadata.namespace, event.metadata.name]


def _escaped(value: str) -> str:
    """Escape a value for a field selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
