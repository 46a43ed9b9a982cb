"""The kinds of objects of a store, as the verbs use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from klever.api.kinds import MODEL_JOB, SERVING
from klever.cli.commands.client import Api
from klever.client import stored
from klever.client.stored import refuse_deleting, to_request
from klever.client.sync.objects import Objects
from klever.errors import InvalidError

__all__ = ["MODEL_JOBS", "SERVINGS", "StoredKind", "refuse_deleting"]


@dataclass(frozen=True, slots=True)
class StoredKind(stored.StoredKind):
    """A kind with its calls. An RPC is named by its first word, such as `Get`, or in full, such as `StreamLogs`."""

    def objects(self, api: Api) -> Objects[Any, Any]:
        """Return the objects of this kind."""
        return Objects(api.connection, self)

    def get(self, api: Api, namespace: str, name: str) -> Any:
        """Return one object. Raises `NotFoundError`."""
        return self.objects(api).get(name, namespace=namespace)

    def list(self, api: Api, namespace: str, name: str, labels: str) -> Iterator[Any]:
        """Yield the objects of all pages, or the named one."""
        if name:
            yield self.get(api, namespace, name)
        else:
            yield from self.objects(api).list(namespace=namespace, labels=labels)

    def watch(self, api: Api, namespace: str, name: str, labels: str) -> Iterator[Any]:
        """Yield the existing objects, then the changes of all objects or the named one."""
        return self.objects(api).watch(name, namespace=namespace, labels=labels)

    def apply(self, api: Api, message: Any, namespace: str, *, dry_run: bool = False) -> Any:
        """Apply an object and return the stored object, or with `dry_run` the object that would be stored."""
        fields: Any = self.method("Apply").input_type.fields_by_name
        if dry_run and "validate_only" not in fields:
            raise InvalidError(f"{self.plural} do not support dry runs on the server")
        return self.objects(api).apply(message, namespace=namespace, validate_only=dry_run)

    def delete(self, api: Api, name: str, force: bool = False) -> None:
        if force:
            raise InvalidError(f"--force is for versions that are in use, not for {self.plural}")
        self.objects(api).delete(name)

    def call(self, api: Api, rpc: str, **fields: Any) -> Any:
        """Call a unary RPC with these fields of its request."""
        method = self.method(rpc)
        return api.connection.call(method, to_request(method, fields))

    def stream(self, api: Api, rpc: str, **fields: Any) -> Iterator[Any]:
        """Call a streaming RPC with these fields of its request."""
        method = self.method(rpc)
        return api.connection.stream(method, to_request(method, fields))


MODEL_JOBS: Final = StoredKind(MODEL_JOB)
SERVINGS: Final = StoredKind(SERVING)
