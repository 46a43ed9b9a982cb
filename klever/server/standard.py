"""The standard methods of every kind: Create, Apply, Get, List, Update, Delete, Watch and ListEvents.

A service declares a subset of them. Their requests and responses differ only in the message of the kind.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from klever.server.lists import Lists
from klever.server.objects import Objects
from klever.server.requests import is_dry, object_in
from klever.server.watches import Watches

__all__ = ["StandardMethods"]

Handler = Callable[[Any], Any]


class StandardMethods:
    """The standard methods of one kind."""

    def __init__(self, objects: Objects[Message]) -> None:
        self._objects = objects
        self._lists = Lists(objects)
        self._watches = Watches(objects)
        self.kind = objects.kind

    def find(self, method: MethodDescriptor) -> Handler | None:
        """Return the handler of an RPC such as GetServing or ListServings. None if it is not a standard method."""
        name = self.kind.kind
        binders: dict[str, Callable[[MethodDescriptor], Handler]] = {
            f"Create{name}": self._create,
            f"Apply{name}": self._apply,
            f"Get{name}": self._get,
            f"List{name}s": self._list,
            f"Update{name}": self._update,
            f"Delete{name}": self._delete,
            f"Watch{name}s": self._watch,
        }
        if self.kind.leads_service:
            binders["ListEvents"] = self._events
        bind = binders.get(method.name)
        return bind(method) if bind else None

    def _create(self, method: MethodDescriptor) -> Handler:
        field = self.kind.find_field(method.input_type)

        async def create(request: Any) -> bytes:
            with object_in(field):
                return await self._objects.create(
                    getattr(request, field),
                    _namespace(request),
                    request_id=getattr(request, "request_id", ""),
                    dry_run=is_dry(request),
                )

        return create

    def _apply(self, method: MethodDescriptor) -> Handler:
        field = self.kind.find_field(method.input_type)

        async def apply(request: Any) -> bytes:
            with object_in(field):
                return await self._objects.apply(
                    getattr(request, field), _namespace(request), request.name, dry_run=is_dry(request)
                )

        return apply

    def _get(self, _method: MethodDescriptor) -> Handler:
        async def get(request: Any) -> bytes:
            return await self._objects.get_encoded(_namespace(request), request.name)

        return get

    def _list(self, method: MethodDescriptor) -> Handler:
        response = GetMessageClass(method.output_type)

        async def list_(request: Any) -> Message:
            items, page = await self._lists.page(request)
            return response(items=items, next_page_token=page.next_token, resource_version=page.resource_version)

        return list_

    def _update(self, method: MethodDescriptor) -> Handler:
        field = self.kind.find_field(method.input_type)

        async def update(request: Any) -> bytes:
            with object_in(field):
                return await self._objects.update(
                    getattr(request, field),
                    _namespace(request),
                    request.name,
                    request.update_mask.paths,
                    dry_run=is_dry(request),
                )

        return update

    def _delete(self, _method: MethodDescriptor) -> Handler:
        async def delete(request: Any) -> bytes:
            return await self._objects.delete(
                _namespace(request),
                request.name,
                uid=request.uid,
                resource_version=request.resource_version,
                dry_run=is_dry(request),
            )

        return delete

    def _watch(self, method: MethodDescriptor) -> Handler:
        response = GetMessageClass(method.output_type)

        def watch(request: Any) -> AsyncGenerator[bytes, None]:
            return self._watches.watch(request, response)

        return watch

    def _events(self, method: MethodDescriptor) -> Handler:
        response = GetMessageClass(method.output_type)

        async def events(request: Any) -> Message:
            items, token = await self._lists.events(request)
            return response(items=items, next_page_token=token)

        return events


def _namespace(request: Any) -> str:
    """Return the namespace of a request. Requests for a kind without namespaces have no such field."""
    return str(getattr(request, "namespace", ""))
