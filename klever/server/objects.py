"""Reads and writes the objects of one kind in the store, as messages of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from klever.api.codec import from_object, to_object
from klever.api.kinds import Kind, Object
from klever.errors import AlreadyExistsError, FailedPreconditionError
from klever.server.recent import Recent
from klever.server.request_ids import identify, is_made_by
from klever.server.requests import DEFAULT_NAMESPACE, required, violation
from klever.server.updates import keep_unknown, select
from klever.store import Key, Store

__all__ = ["M_co", "Objects"]

MAX_ENCODED: Final = 4096
"""The number of objects whose encoded messages are cached."""

M_co = TypeVar("M_co", bound=Message, covariant=True)


class Objects(Generic[M_co]):
    """The objects of one kind, as messages of type M_co."""

    def __init__(self, store: Store, kind: Kind) -> None:
        if kind.message is None:
            raise ValueError(f"{kind} has no message")
        self.store = store
        self.kind = kind
        self._message: type[Any] = kind.message
        self._encoded: Recent[tuple[str, str]] = Recent(MAX_ENCODED)

    @property
    def message(self) -> Descriptor:
        """The descriptor of the kind's message."""
        descriptor: Descriptor = self._message.DESCRIPTOR
        return descriptor

    def known(self, state: tuple[str, str]) -> bytes | None:
        """Return the cached bytes of an object by its uid and resource version, or None."""
        return self._encoded.find(state)

    def read(self, obj: Object) -> M_co:
        """Return an object as a new message, which the caller may change."""
        message: M_co = self._message.FromString(self.encode(obj))
        return message

    def encode(self, obj: Object) -> bytes:
        """Return an object as the bytes of its message.

        The bytes are cached, because converting JSON is the slowest part of a read, and watchers and readers often ask
        for an object that was just written.
        """
        state = _state(obj)
        known = self._encoded.find(state)
        if known is None:
            known = from_object(obj, self._message).SerializeToString()
            if all(state):
                self._encoded.keep(state, known)
        return known

    def _answer(self, obj: Object, *, dry_run: bool) -> bytes:
        """Return the result of a write. The result of a dry run has the version of the stored object and is not
        cached."""
        return from_object(obj, self._message).SerializeToString() if dry_run else self.encode(obj)

    def write(self, message: Message, namespace: str, name: str = "") -> Object:
        """Return the object of a request with the request's namespace and name. Raise `InvalidError` if they differ."""
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
            raise violation(path + field, f"must be {value!r} as in the request, not {target[field]!r}")

    def key(self, namespace: str, name: str) -> Key:
        """Return the key of an object. Raise `InvalidError` without a name."""
        return Key((namespace or DEFAULT_NAMESPACE) if self.kind.namespaced else "", required("name", name))

    async def create(self, message: Message, namespace: str, *, request_id: str = "", dry_run: bool = False) -> bytes:
        obj = self.write(message, namespace)
        if not request_id:
            return self._answer(await self.store.create(self.kind, obj, dry_run=dry_run), dry_run=dry_run)
        identify(obj, request_id)
        try:
            return self._answer(await self.store.create(self.kind, obj, dry_run=dry_run), dry_run=dry_run)
        except AlreadyExistsError:
            earlier = await self.store.get(
                self.kind, self.key(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            )
            if not is_made_by(earlier, request_id):
                raise
            return self.encode(earlier)

    async def apply(self, message: Message, namespace: str, name: str, *, dry_run: bool = False) -> bytes:
        applied = await self.store.apply(self.kind, self.write(message, namespace, name), dry_run=dry_run)
        return self._answer(self._lasting(applied), dry_run=dry_run)

    async def get_encoded(self, namespace: str, name: str) -> bytes:
        return self.encode(await self.store.get(self.kind, self.key(namespace, name)))

    async def get(self, namespace: str, name: str) -> M_co:
        return self.read(await self.store.get(self.kind, self.key(namespace, name)))

    async def update(
        self, message: Message, namespace: str, name: str, paths: Iterable[str], *, dry_run: bool = False
    ) -> bytes:
        """Replace the fields that a field mask names. A resource version in the message must be current."""
        obj = self.write(message, namespace, name)
        patch = select(obj, tuple(paths) or self.kind.updates, self._message.DESCRIPTOR)
        key = self.key(namespace, name)
        if patch.get("spec"):
            keep_unknown(patch, await self.store.get(self.kind, key), self._message.DESCRIPTOR)
        if version := obj["metadata"].get("resourceVersion"):
            patch.setdefault("metadata", {})["resourceVersion"] = version
        if uid := obj["metadata"].get("uid"):
            patch.setdefault("metadata", {})["uid"] = uid
        return self._answer(await self.patched(key, patch, dry_run=dry_run), dry_run=dry_run)

    async def patch(self, key: Key, patch: dict[str, Any], *, dry_run: bool = False) -> M_co:
        message: M_co = self._message.FromString(
            self._answer(await self.patched(key, patch, dry_run=dry_run), dry_run=dry_run)
        )
        return message

    async def patched(self, key: Key, patch: dict[str, Any], *, dry_run: bool = False) -> Object:
        return self._lasting(await self.store.patch(self.kind, key, patch, dry_run=dry_run))

    def _lasting(self, obj: Object) -> Object:
        """Return the written object. Raise `FailedPreconditionError` if it is being deleted, which discards the
        change."""
        metadata = obj["metadata"]
        if "deletionTimestamp" in metadata:
            raise FailedPreconditionError(
                f"{self.kind.kind.lower()} {metadata['name']} is being deleted: create it again once it is gone",
                reason="BEING_DELETED",
            )
        return obj

    async def delete(
        self, namespace: str, name: str, *, uid: str = "", resource_version: str = "", dry_run: bool = False
    ) -> bytes:
        """Delete an object and return its last state. A uid and a resource version are preconditions."""
        key = self.key(namespace, name)
        last = await self.store.get(self.kind, key)
        uid = uid or last["metadata"]["uid"]
        await self.store.delete(self.kind, key, uid=uid, resource_version=resource_version, dry_run=dry_run)
        return self.encode(last)


def _state(obj: Object) -> tuple[str, str]:
    """Return the uid and version, which identify a state of an object. Empty for an object that is not stored."""
    metadata = obj["metadata"]
    return metadata.get("uid", ""), metadata.get("resourceVersion", "")
