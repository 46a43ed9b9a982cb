"""Objects of one kind as the API shows them: namespaces, pages, watches and events over the store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from klever.api.codec import from_object, to_object
from klever.api.kinds import EVENT, Kind, Object
from klever.api.wire import embed
from klever.errors import ExpiredError, FailedPreconditionError, FieldViolation, InvalidError, NotFoundError
from klever.server.ordering import by_time, created, last_seen
from klever.server.recent import Recent
from klever.server.updates import keep_unknown, select
from klever.store import Key, Page, Store, WatchEvent
from klever.v1alpha1.common_pb2 import (
    ListEventsRequest,
    ListEventsResponse,
    ListOptions,
    StreamLogsRequest,
    WatchError,
    WatchOptions,
)
from klever.v1alpha1.meta_pb2 import Event

__all__ = ["DEFAULT_NAMESPACE", "MAX_PAGE_BYTES", "M_co", "Objects", "page_size", "required", "tail_of"]

DEFAULT_NAMESPACE = "default"
_PAGE_SIZE = 500
MAX_PAGE_BYTES = 3 << 20
"""Clients accept messages of up to 4 MiB."""
MAX_ENCODED = 4096
"""Objects whose encoded messages are kept."""
MAX_EVENTS = 256
"""Events whose encoded messages are kept: all watchers receive an event at about the same time."""

M_co = TypeVar("M_co", bound=Message, covariant=True)


def required(field: str, value: str) -> str:
    """Return the value; raises `InvalidError` naming the request's field if it is empty."""
    if not value:
        raise InvalidError(violations=(FieldViolation(field, "is required"),))
    return value


def page_size(asked: int, field: str = "page_size") -> int:
    """Return how many items a page may have. Raises `InvalidError` with the request's field if `asked` is negative."""
    if asked < 0:
        raise InvalidError(violations=(FieldViolation(field, f"must be 0 or more, not {asked}"),))
    return min(asked or _PAGE_SIZE, _PAGE_SIZE)


def tail_of(request: StreamLogsRequest) -> int | None:
    """Return how many of the last lines to send, None for all. Raises `InvalidError` if the number is negative."""
    if not request.HasField("tail"):
        return None
    if request.tail < 0:
        raise InvalidError(violations=(FieldViolation("tail", f"must be 0 or more, not {request.tail}"),))
    return request.tail


class Objects(Generic[M_co]):
    """The objects of one kind, as messages of type M_co."""

    def __init__(self, store: Store, kind: Kind) -> None:
        if kind.message is None:
            raise ValueError(f"{kind} has no message")
        self.store = store
        self.kind = kind
        self._message: type[Any] = kind.message
        self._encoded: Recent[tuple[str, str]] = Recent(MAX_ENCODED)
        self._events: Recent[tuple[str, str, str]] = Recent(MAX_EVENTS)

    def read(self, obj: Object) -> M_co:
        """Return an object as a message, the caller's own."""
        message: M_co = self._message.FromString(self.encode(obj))
        return message

    def encode(self, obj: Object) -> bytes:
        """Return an object as the bytes of its message.

        The bytes are kept for a while, because converting JSON is the slowest part of a read. An object that was just
        written is often read, and its watchers receive it.
        """
        state = _state(obj)
        known = self._encoded.find(state)
        if known is None:
            known = from_object(obj, self._message).SerializeToString()
            if all(state):
                self._encoded.keep(state, known)
        return known

    def write(self, message: Message, namespace: str, name: str = "") -> Object:
        """Return a request's object with the address of the request. Raises `InvalidError` if the two contradict."""
        obj = to_object(message)
        obj.pop("status", None)
        self._default(obj, "apiVersion", self.kind.api_version)
        self._default(obj, "kind", self.kind.kind)
        metadata = obj.setdefault("metadata", {})
        if self.kind.namespaced:
            named = namespace or metadata.get("namespace", DEFAULT_NAMESPACE)
            self._default(metadata, "namespace", named, "metadata.")
        if name:
            self._default(metadata, "name", name, "metadata.")
        return obj

    @staticmethod
    def _default(target: dict[str, Any], field: str, value: str, path: str = "") -> None:
        if target.setdefault(field, value) != value:
            raise InvalidError(
                violations=(
                    FieldViolation(path + field, f"must be {value!r} as in the request, not {target[field]!r}"),
                )
            )

    def key(self, namespace: str, name: str) -> Key:
        """Return the address of an object. Raises `InvalidError` without a name."""
        return Key((namespace or DEFAULT_NAMESPACE) if self.kind.namespaced else "", required("name", name))

    async def create(self, message: Message, namespace: str) -> bytes:
        return self.encode(await self.store.create(self.kind, self.write(message, namespace)))

    async def apply(self, message: Message, namespace: str, name: str) -> bytes:
        applied = await self.store.apply(self.kind, self.write(message, namespace, name))
        return self.encode(self._lasting(applied))

    async def get_encoded(self, namespace: str, name: str) -> bytes:
        return self.encode(await self.store.get(self.kind, self.key(namespace, name)))

    async def get(self, namespace: str, name: str) -> M_co:
        return self.read(await self.store.get(self.kind, self.key(namespace, name)))

    async def update(self, message: Message, namespace: str, name: str, paths: Iterable[str]) -> bytes:
        """Replace the parts that the paths of a field mask name. A resource version in the message must be current."""
        obj = self.write(message, namespace, name)
        patch = select(obj, paths, self._message.DESCRIPTOR)
        key = self.key(namespace, name)
        if patch.get("spec"):
            keep_unknown(patch, await self.store.get(self.kind, key), self._message.DESCRIPTOR)
        if version := obj["metadata"].get("resourceVersion"):
            patch.setdefault("metadata", {})["resourceVersion"] = version
        return self.encode(await self.patched(key, patch))

    async def patch(self, key: Key, patch: dict[str, Any]) -> M_co:
        return self.read(await self.patched(key, patch))

    async def patched(self, key: Key, patch: dict[str, Any]) -> Object:
        return self._lasting(await self.store.patch(self.kind, key, patch))

    def _lasting(self, obj: Object) -> Object:
        """Return what was written; raises `FailedPreconditionError` if it is being deleted, the change with it."""
        metadata = obj["metadata"]
        if "deletionTimestamp" in metadata:
            raise FailedPreconditionError(
                f"{self.kind.kind.lower()} {metadata['name']} is being deleted: wait until it is gone, then create it",
                reason="BEING_DELETED",
            )
        return obj

    async def delete(self, namespace: str, name: str, resource_version: str) -> None:
        await self.store.delete(self.kind, self.key(namespace, name), resource_version=resource_version)

    async def page(self, namespace: str, options: ListOptions) -> tuple[list[M_co], Page]:
        """Return the page that is asked for, or a shorter one if the page does not fit into a message."""
        size = page_size(options.page_size, "options.page_size")
        while True:
            page = await self._page(_all(namespace), options, size)
            items = [self.read(o) for o in page.items]
            if len(items) <= 1 or sum(item.ByteSize() for item in items) <= MAX_PAGE_BYTES:
                return items, page
            size = len(items) // 2

    async def _page(self, namespace: str, options: ListOptions, size: int) -> Page:
        order, token, labels, fields = options.order_by or "name", options.page_token, options.labels, options.filter
        if order == "name":
            return await self.store.list(self.kind, namespace, labels=labels, fields=fields, limit=size, token=token)
        if order not in ("created", "created desc"):
            known = "name, created, created desc"
            raise InvalidError(
                violations=(FieldViolation("options.order_by", f"invalid order {order!r}: expected one of {known}"),)
            )
        newest_first = order.endswith("desc")
        return await by_time(
            self.store,
            self.kind,
            namespace,
            created,
            labels=labels,
            fields=fields,
            newest_first=newest_first,
            size=size,
            token=token,
        )

    async def watch(self, namespace: str, options: WatchOptions, response: type[Any]) -> AsyncGenerator[bytes, None]:
        """Yield encoded responses of `{type, object, error}`. An error is in-band and ends the stream."""
        try:
            async for event in self.store.watch(
                self.kind,
                _all(namespace),
                labels=options.labels,
                fields=options.filter,
                resource_version=options.resource_version,
                bookmarks=options.bookmarks,
            ):
                yield self._told(event, response)
        except ExpiredError as error:
            told = response(type="ERROR", error=WatchError(reason=error.reason, message=error.message))
            yield told.SerializeToString()

    def _told(self, event: WatchEvent, response: type[Any]) -> bytes:
        """Return an event as the bytes of a response, which are made once for all watchers."""
        state = (event.type, event.uid, event.resource_version)
        known = self._events.find(state)
        if known is None:
            obj = self._encoded.find(state[1:])
            if obj is None:
                obj = self.encode(event.object)
            field = response.DESCRIPTOR.fields_by_name["object"].number
            known = response(type=event.type).SerializeToString() + embed(field, obj)
            self._events.keep(state, known)
        return known

    async def events(self, request: ListEventsRequest) -> ListEventsResponse:
        """List the events about objects of this kind, oldest first.

        Those of a named object leave out an earlier object of the same name, unless none of that name exists.
        """
        selector = f"involvedObject.kind={self.kind.kind}"
        if request.name:
            selector += f",involvedObject.name={request.name}"
            with suppress(NotFoundError):
                named = await self.store.get(self.kind, self.key(request.namespace, request.name))
                selector += f",involvedObject.uid={named['metadata']['uid']}"
        page = await by_time(
            self.store,
            EVENT,
            _all(request.namespace or DEFAULT_NAMESPACE),
            last_seen,
            fields=selector,
            size=page_size(request.page_size),
            token=request.page_token,
        )
        items = [from_object(event, Event) for event in page.items]
        return ListEventsResponse(items=items, next_page_token=page.next_token)


def _state(obj: Object) -> tuple[str, str]:
    """Return the uid and version, which identify one state of an object. An object that is not stored lacks them."""
    metadata = obj["metadata"]
    return metadata.get("uid", ""), metadata.get("resourceVersion", "")


def _all(namespace: str) -> str:
    return "" if namespace == "-" else namespace
