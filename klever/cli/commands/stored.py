"""Calls for the objects of a store. The services of all kinds are alike, except for the kind's name in each RPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from klever.api.kinds import MODEL_JOB, SERVING, Kind
from klever.cli.commands.client import Api
from klever.errors import FailedPreconditionError, InvalidError

__all__ = ["MODEL_JOBS", "SERVINGS", "StoredKind", "refuse_deleting"]


@dataclass(frozen=True, slots=True)
class StoredKind:
    """The calls of one kind. An RPC is named by its first word, such as `Get`, or in full, such as `StreamLogs`."""

    kind: Kind

    @property
    def plural(self) -> str:
        return self.kind.names[0]

    @property
    def singular(self) -> str:
        return self.kind.names[1]

    def supports(self, rpc: str) -> bool:
        return self._find(rpc) is not None

    def method(self, rpc: str) -> MethodDescriptor:
        """Return the descriptor of an RPC. Raises `KeyError` if the service lacks it."""
        found = self._find(rpc)
        if found is None:
            raise KeyError(f"{self.kind} has no {rpc}")
        return found

    def _find(self, rpc: str) -> MethodDescriptor | None:
        if self.kind.service is None:
            return None
        names = (f"{rpc}{self.kind}", f"{rpc}{self.kind}s", *((rpc,) if self.kind.leads_service else ()))
        methods = self.kind.service.methods_by_name
        return next((methods[name] for name in names if name in methods), None)

    def get(self, api: Api, namespace: str, name: str) -> Any:
        """Return one object. Raises `NotFoundError`."""
        return self.call(api, "Get", namespace=namespace, name=name)

    def list(self, api: Api, namespace: str, name: str, labels: str) -> Iterator[Any]:
        """Yield the objects of all pages, or the named one."""
        if name:
            yield self.get(api, namespace, name)
            return
        token = ""
        while True:
            page = self.call(api, "List", namespace=namespace, label_selector=labels, page_token=token)
            yield from page.items
            token = page.next_page_token
            if not token:
                return

    def look(self, api: Api, namespace: str, name: str) -> tuple[Any, str]:
        """Return one object, None if it does not exist, and the version from which a watch misses no change."""
        page = self.call(api, "List", namespace=namespace, filter=_named(name))
        return (page.items[0] if page.items else None), page.resource_version

    def watch(
        self,
        api: Api,
        namespace: str,
        name: str,
        labels: str,
        *,
        resource_version: str = "",
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """Yield the changes of all objects or the named one. Without a version, yield the existing ones first."""
        fields = {"filter": _named(name) if name else "", "label_selector": labels}
        return self.stream(api, "Watch", timeout, namespace=namespace, resource_version=resource_version, **fields)

    def apply(self, api: Api, message: Any, namespace: str, *, dry_run: bool = False) -> Any:
        """Apply an object, and return it as it is stored, or with `dry_run` as it would be."""
        request = self.method("Apply").input_type
        fields: dict[str, Any] = {self.kind.find_field(request): message}
        if dry_run:
            if "validate_only" not in request.fields_by_name:
                raise InvalidError(f"{self.plural} do not support dry runs on the server")
            fields["validate_only"] = True
        return self.call(api, "Apply", namespace=namespace, name=message.metadata.name, **fields)

    def delete(self, api: Api, name: str, force: bool = False) -> None:
        if force:
            raise InvalidError(f"--force is for versions that are in use, not for {self.plural}")
        self.call(api, "Delete", namespace=api.namespace, name=name)

    def call(self, api: Api, rpc: str, **fields: Any) -> Any:
        """Call a unary RPC with these fields of its request."""
        method = self.method(rpc)
        return api.call(api.method(method), _request(method, fields))

    def stream(self, api: Api, rpc: str, timeout: float | None = None, **fields: Any) -> Iterator[Any]:
        """Call a streaming RPC with these fields of its request."""
        method = self.method(rpc)
        return api.stream(api.method(method), _request(method, fields), timeout)


def _named(name: str) -> str:
    """Return a filter for one object."""
    return f"metadata.name = {json.dumps(name)}"


def _request(method: MethodDescriptor, fields: dict[str, Any]) -> Any:
    """Return a request. For a kind without namespaces it lacks the field `namespace`."""
    known = method.input_type.fields_by_name
    return GetMessageClass(method.input_type)(**{name: value for name, value in fields.items() if name in known})


MODEL_JOBS: Final = StoredKind(MODEL_JOB)
SERVINGS: Final = StoredKind(SERVING)


def refuse_deleting(what: str, obj: Any) -> None:
    """Raise `FailedPreconditionError` if an object is being deleted, because a change would be lost."""
    if obj.metadata.HasField("deletion_timestamp"):
        raise FailedPreconditionError(
            f"{what} is being deleted, and changes would be lost: run `klever wait {what} --for=delete`, then try again"
        )
