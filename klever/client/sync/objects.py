"""The objects of one kind: Servings or ModelJobs."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Generator, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from klever.client.sync.connection import Connection
from klever.client.sync.waiting import States
from klever.client.sync.watching import Watch
from klever.client.stored import StoredKind, named, to_request
from klever.v1alpha1.common_pb2 import LogLine
from klever.v1alpha1.meta_pb2 import Event

__all__ = ["Objects"]

T = TypeVar("T")
E = TypeVar("E")


class Objects(Generic[T, E]):
    """The calls for one kind, whose messages are `T`. `E` are the events of a watch, with `type` and `object`.

    Every method takes `namespace`, by default that of the client; `-` lists and watches all. A write takes a message,
    or a mapping as in YAML: `{"metadata": {"name": "digits"}, "spec": {...}}`.
    """

    def __init__(self, connection: Connection, kind: StoredKind) -> None:
        self.connection = connection
        self.kind = kind

    def get(self, name: str, *, namespace: str = "") -> T:
        """Return one object. Raises `NotFoundError`."""
        obj: T = self._call("Get", name=name, namespace=namespace)
        return obj

    def list(
        self, *, namespace: str = "", labels: str = "", filter: str = "", order_by: str = ""
    ) -> Generator[T, None, None]:
        """Yield the objects of all pages. `labels` is a selector, `filter` an expression of google.aip.dev/160."""
        fields = {"namespace": namespace, "label_selector": labels, "filter": filter, "order_by": order_by}
        for obj in self._pages("List", **fields):
            yield obj

    def watch(
        self, name: str = "", *, namespace: str = "", labels: str = "", filter: str = "", resource_version: str = ""
    ) -> Generator[E, None, None]:
        """Yield the changes of all objects, or the named one, until the caller stops.

        It begins with the existing objects as ADDED, or after `resource_version`. It resumes after a lost connection,
        so an event can arrive twice. Raises `ExpiredError` if the version is too old: list again.
        """
        fields = {"filter": named(name) if name else filter, "label_selector": labels}
        watch = Watch(self.connection, self.kind.method("Watch"), self._fields(namespace=namespace, **fields))
        for event in watch.events(resource_version):
            yield event

    def create(
        self, obj: T | Mapping[str, Any], *, namespace: str = "", request_id: str = "", validate_only: bool = False
    ) -> T:
        """Create an object and return it. Raises `AlreadyExistsError`, and `InvalidError` with field violations.

        A second create with the same `request_id` returns the object that the first one made. By default each call has
        its own, which makes a retry after a lost connection safe.
        """
        fields = {"request_id": request_id or str(uuid.uuid4()), "validate_only": validate_only}
        return self._write("Create", obj, namespace=namespace, **fields)

    def apply(self, obj: T | Mapping[str, Any], *, namespace: str = "", validate_only: bool = False) -> T:
        """Create the object, or make it as declared, and return it."""
        return self._write("Apply", obj, namespace=namespace, validate_only=validate_only)

    def update(
        self,
        obj: T | Mapping[str, Any],
        *,
        fields: Sequence[str] = (),
        namespace: str = "",
        validate_only: bool = False,
    ) -> T:
        """Change `fields`, such as `metadata.labels` or `spec.predictors`, by default all that can change.

        Raises `ConflictError` if the object has a resource version that is no longer current.
        """
        mask = {"paths": fields}
        return self._write("Update", obj, namespace=namespace, validate_only=validate_only, update_mask=mask)

    def delete(self, name: str, *, namespace: str = "", uid: str = "", resource_version: str = "") -> T:
        """Delete an object and return its last state. Raise `NotFoundError`."""
        fields = {"uid": uid, "resource_version": resource_version}
        obj: T = self._call("Delete", name=name, namespace=namespace, **fields)
        return obj

    def events(self, name: str = "", *, namespace: str = "", filter: str = "") -> Generator[Event, None, None]:
        """Yield the events of one object, or of all, the oldest first."""
        for event in self._pages("ListEvents", name=name, namespace=namespace, filter=filter):
            yield event

    def logs(
        self, name: str, *, namespace: str = "", follow: bool = False, **fields: Any
    ) -> Generator[LogLine, None, None]:
        """Yield the lines of the log; with `follow` until the process has ended. `tail=N`: only the last ones."""
        fields = self._fields(name=name, namespace=namespace, follow=follow, **fields)
        method = self.kind.method("StreamLogs")
        for line in self.connection.stream(method, to_request(method, fields)):
            yield line

    def wait(
        self,
        name: str,
        condition: str,
        *,
        status: str = "True",
        namespace: str = "",
        timeout: float = 60.0,
        on_change: Callable[[T], None] | None = None,
    ) -> T:
        """Return the object once it has a condition for its current spec: `Ready` of a Serving, `Complete` of a job.

        Raises `NotFoundError` if it does not exist or is deleted meanwhile, `FailedPreconditionError` as soon as the
        condition can no longer hold, and `DeadlineError` with its problems after `timeout` seconds.
        """
        watch = States(self, name, namespace, timeout, on_change)
        obj: T = watch.until(condition, status)
        return obj

    def wait_deleted(
        self, name: str, *, namespace: str = "", timeout: float = 60.0, on_change: Callable[[T], None] | None = None
    ) -> T | None:
        """Return the last state of an object once it is gone, None if it did not exist. Raises `DeadlineError`."""
        last: T | None = States(self, name, namespace, timeout, on_change).gone()
        return last

    def look(self, name: str, namespace: str) -> tuple[T | None, str]:
        """Return one object, None if it does not exist, and the version from which a watch misses no change."""
        page = self._call("List", namespace=namespace, filter=named(name))
        return (page.items[0] if page.items else None), page.resource_version

    def _pages(self, rpc: str, **fields: Any) -> Generator[Any, None, None]:
        token = ""
        while True:
            page = self._call(rpc, page_token=token, **fields)
            for item in builtins.list(page.items):
                yield item
            token = page.next_page_token
            if not token:
                return

    def _call(self, rpc: str, **fields: Any) -> Any:
        method = self.kind.method(rpc)
        return self.connection.call(method, to_request(method, self._fields(**fields)))

    def _write(self, rpc: str, obj: T | Mapping[str, Any], **fields: Any) -> T:
        request = self.kind.write(rpc, obj, **self._fields(**fields))
        written: T = self.connection.call(self.kind.method(rpc), request)
        return written

    def _fields(self, **fields: Any) -> dict[str, Any]:
        """Return the fields with the namespace of the client where none is given."""
        return {**fields, "namespace": fields.get("namespace") or self.connection.settings.namespace}
