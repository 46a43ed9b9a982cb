"""Objects in a kube-apiserver: the store's contract is Kubernetes' own, so a call is a request."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, cast

from klever.api.kinds import Kind, Object
from klever.errors import ConflictError, FieldViolation, InvalidError, KleverError, NotFoundError, UnavailableError
from klever.kube import KubeClient, follow
from klever.store import EventType, Key, Page, WatchEvent
from klever.store.admission import Admission
from klever.store.kubernetes.ownership import claim, is_orphan, take_over
from klever.store.merge import merge_patch

__all__ = ["KubernetesStore"]

_PAGE = 500
_PATIENCE_SECONDS = 60.0
"""How long a watch outlives its API server: a restart, but not so long that its reader takes silence for peace."""
_ATTEMPTS = 20
"""How often an apply reads again what others write at the same time."""


class KubernetesStore:
    """Reads and writes the API server itself; the client stays its opener's.

    The API server alone decides what is valid. `admission` only says what it refuses in the words that every store
    has.
    """

    def __init__(self, client: KubeClient, admission: Admission, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._client = client
        self._admission = admission
        self._patience = patience

    async def create(self, kind: Kind, obj: Object) -> Object:
        try:
            return _stripped(await self._client.create(kind, obj))
        except InvalidError as error:
            raise self._in_our_words(error, kind, obj) from error

    async def get(self, kind: Kind, key: Key) -> Object:
        return _stripped(await self._client.get(kind, key.namespace, key.name))

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, token: str = ""
    ) -> Page:
        found = await self._client.list(kind, namespace, labels=labels, fields=fields, limit=limit, token=token)
        metadata = found["metadata"]
        items = tuple(_stripped(item) for item in found["items"])
        return Page(items, metadata["resourceVersion"], metadata.get("continue", ""))

    async def patch(
        self, kind: Kind, key: Key, patch: dict[str, Any], *, subresource: Literal["", "status"] = ""
    ) -> Object:
        try:
            changed = await self._client.patch(kind, key.namespace, key.name, patch, subresource=subresource)
        except InvalidError as error:
            # A precondition to us, a change of the uid to the API server.
            if any(violation.field == "metadata.uid" for violation in error.violations):
                raise ConflictError(f"{kind} {key} is another one by now: {error}") from error
            if patch.get("metadata", {}).get("name", key.name) != key.name:
                raise InvalidError(violations=(FieldViolation("metadata.name", "cannot be changed"),)) from error
            old = await self.get(kind, key)
            raise self._in_our_words(error, kind, merge_patch(old, patch), old, subresource) from error
        return _stripped(changed)

    async def apply(self, kind: Kind, obj: Object) -> Object:
        """Server-side apply, which removes what our earlier writes gave to the spec, by whatever call they did."""
        declared = {field: value for field, value in obj.items() if field != "status"}
        if version := await self._own(kind, obj):
            declared["metadata"] = {**obj["metadata"], "resourceVersion": version}
        try:
            return _stripped(await self._client.apply(kind, declared))
        except (InvalidError, UnavailableError) as error:  # a list with a key twice is a 500 here
            raise self._in_our_words(error, kind, obj) from error

    async def _own(self, kind: Kind, obj: Object) -> str:
        """Make the spec that is there our apply's own; returns the version to swap, if the caller swaps.

        Others write meanwhile (statuses): what they changed is read again.
        """
        metadata = obj["metadata"]
        namespace, name, expected = metadata.get("namespace", ""), metadata["name"], _version(obj)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                known = await self._client.get(kind, namespace, name)
                if expected not in {"", _version(known)}:
                    return expected  # which the API server refuses in its words
                if is_orphan(known):
                    known = await self._client.apply(kind, claim(known))
                if (patch := take_over(known)) is not None:
                    known = await self._client.patch(kind, namespace, name, patch)
            except NotFoundError:
                break
            except ConflictError:
                if attempt == _ATTEMPTS or expected:
                    raise
            else:
                return _version(known) if expected else ""
        return expected

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", resource_version: str = "") -> None:
        await self._client.delete(kind, key.namespace, key.name, uid=uid, resource_version=resource_version)

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        bookmarks: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        version = resource_version
        if version and not version.isdecimal():  # which the API server calls its own failure
            raise InvalidError(violations=(FieldViolation("resource_version", f"{version!r} is no version"),))
        if not version:
            async for event in self._existing(kind, namespace, labels, fields):
                version = event.resource_version
                if event.type != "BOOKMARK" or bookmarks:
                    yield event
        watch = follow(
            self._client,
            kind,
            namespace,
            labels=labels,
            fields=fields,
            resource_version=version,
            patience=self._patience,
        )
        async with aclosing(watch) as events:
            async for type_, obj in events:
                if type_ != "BOOKMARK" or bookmarks:
                    yield WatchEvent.of(cast("EventType", type_), _stripped(obj))

    async def _existing(self, kind: Kind, namespace: str, labels: str, fields: str) -> AsyncGenerator[WatchEvent, None]:
        """Yield what is there, then a bookmark where to go on."""
        token = ""
        while True:
            page = await self.list(kind, namespace, labels=labels, fields=fields, limit=_PAGE, token=token)
            for obj in page.items:
                yield WatchEvent.of("ADDED", obj)
            token = page.next_token
            if not token:
                break
        metadata = {"resourceVersion": page.resource_version}
        yield WatchEvent.of("BOOKMARK", {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})

    async def close(self) -> None:
        """Nothing is held here: watches end with their callers."""

    def _in_our_words(
        self,
        refused: KleverError,
        kind: Kind,
        new: Object,
        old: Object | None = None,
        subresource: Literal["", "status"] = "",
    ) -> KleverError:
        try:
            self._admission.admit(kind, copy.deepcopy(new), old, subresource)
        except InvalidError as ours:
            return ours
        return refused


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def _stripped(obj: Object) -> Object:
    """Return it without managedFields: long, and nobody's business above the store."""
    obj["metadata"].pop("managedFields", None)
    return obj
