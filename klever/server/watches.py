"""Watches the objects of one kind. Responses are encoded messages of `{type, object, error}`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final, Generic

from klever.api.filters import Filter, parse_filter
from klever.api.wire import embed
from klever.errors import ExpiredError
from klever.server.objects import M_co, Objects
from klever.server.recent import Recent
from klever.server.requests import list_namespace
from klever.store import WatchEvent
from klever.store.selectors import selectable
from klever.v1alpha1 import common_pb2

__all__ = ["MAX_EVENTS", "Watches"]

MAX_EVENTS: Final = 256
"""The number of events whose encoded messages are cached, because all watchers receive an event at about one time."""

_TYPES: Final = common_pb2.WatchEvent.Type


class Watches(Generic[M_co]):
    def __init__(self, objects: Objects[M_co]) -> None:
        self._objects = objects
        self._events: Recent[tuple[str, str, str]] = Recent(MAX_EVENTS)

    async def watch(self, request: Any, response: type[Any]) -> AsyncGenerator[bytes, None]:
        """Yield encoded responses. An error is the last response of the stream."""
        filter_ = parse_filter(request.filter, self._objects.message)
        fields, left = filter_.split(selectable(self._objects.kind))
        events = self._objects.store.watch(
            self._objects.kind,
            list_namespace(request),
            labels=request.label_selector,
            fields=fields,
            resource_version=request.resource_version,
            bookmarks=request.bookmarks,
        )
        if left.test is not None:
            events = self._filtered(events, left, resumed=bool(request.resource_version))
        try:
            async for event in events:
                yield self._told(event, response)
        except ExpiredError as error:
            told = response(type=_TYPES.ERROR, error=common_pb2.WatchError(reason=error.reason, message=error.message))
            yield told.SerializeToString()

    async def _filtered(
        self, events: AsyncGenerator[WatchEvent, None], filter_: Filter, *, resumed: bool
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield the events that the filter selects. An object that starts or stops matching arrives as ADDED or
        DELETED.

        A resumed watch does not know whether an object matched before, so it reports the object in any case.
        """
        known: dict[str, bool] = {}
        async for event in events:
            if event.type == "BOOKMARK":
                yield event
                continue
            obj = event.object
            before = known.get(event.uid, resumed and event.type != "ADDED")
            if event.type == "DELETED":
                known.pop(event.uid, None)
                now = False
            else:
                known[event.uid] = now = filter_.matches(self._objects.read(obj))
            if now:
                yield WatchEvent.of("MODIFIED" if before else "ADDED", obj)
            elif before:
                yield WatchEvent.of("DELETED", obj)

    def _told(self, event: WatchEvent, response: type[Any]) -> bytes:
        """Return an event as the bytes of a response. All watchers share these bytes."""
        state = (event.type, event.uid, event.resource_version)
        known = self._events.find(state)
        if known is None:
            obj = self._objects.known(state[1:])
            if obj is None:
                obj = self._objects.encode(event.object)
            field = response.DESCRIPTOR.fields_by_name["object"].number
            known = response(type=_TYPES.Value(event.type)).SerializeToString() + embed(field, obj)
            self._events.keep(state, known)
        return known
