"""Objects in a kube-apiserver. The store's contract is that of Kubernetes, so each call is one request."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, cast

from klever.api.kinds import Kind, Object
from klever.errors import ConflictError, FieldViolation, InvalidError, KleverError, NotFoundError, UnavailableError
from klever.kube import KubeClient, follow
from klever.store import EventType, Key, Page, WatchEvent, meta
from klever.store.admission import Admission
from klever.store.kubernetes.ownership import claim, is_orphan, last_writer, scaled_fields, take_over
from klever.store.merge import declare, difference, merge_patch

__all__ = ["KubernetesStore"]

_PAGE = 500
_PATIENCE_SECONDS = 60.0
"""How long a watch survives the loss of its API server: long enough for a restart, short enough to notice an outage."""
_ATTEMPTS = 20
"""How often an apply retries after concurrent writes."""


class KubernetesStore:
    """Reads and writes through an API server. The caller owns the client.

    Only the API server validates. `admission` words its rejections as every other store does.
    """

    def __init__(self, client: KubeClient, admission: Admission, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._client = client
        self._admission = admission
        self._patience = patience

    async def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        try:
            return _stripped(await self._client.create(kind, obj, dry_run=dry_run))
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
        self,
        kind: Kind,
        key: Key,
        patch: dict[str, Any],
        *,
        subresource: Literal["", "status"] = "",
        dry_run: bool = False,
    ) -> Object:
        try:
            changed = await self._client.patch(
                kind, key.namespace, key.name, patch, subresource=subresource, dry_run=dry_run
            )
        except InvalidError as error:
            # The uid is a precondition here; the API server takes it for a change of the uid.
            if any(violation.field == "metadata.uid" for violation in error.violations):
                raise ConflictError(f"{kind} {key} was deleted and created again: {error}") from error
            if patch.get("metadata", {}).get("name", key.name) != key.name:
                raise InvalidError(violations=(FieldViolation("metadata.name", "cannot be changed"),)) from error
            old = await self.get(kind, key)
            raise self._in_our_words(error, kind, merge_patch(old, patch), old, subresource) from error
        except ConflictError as error:
            raise _has_changed(kind, key) from error
        return _stripped(changed)

    async def apply(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply, which also removes fields of the spec that our earlier writes set through other calls."""
        if dry_run and (found := await self._find(kind, obj)) is not None:
            kept = obj | {"spec": scaled_fields(found) | obj["spec"]} if "spec" in obj else obj
            new = declare(kind, _stripped(found), kept, {})
            key = Key(found["metadata"].get("namespace", ""), found["metadata"]["name"])
            return await self.patch(kind, key, difference(found, new), dry_run=True)
        declared = {field: value for field, value in obj.items() if field != "status"}
        if not dry_run and (version := await self._own(kind, obj)):
            declared["metadata"] = {**obj["metadata"], "resourceVersion": version}
        try:
            return _stripped(await self._client.apply(kind, declared, dry_run=dry_run))
        except (InvalidError, UnavailableError) as error:  # a duplicate key in a list is a 500 here
            raise self._in_our_words(error, kind, obj) from error
        except ConflictError as error:
            raise _has_changed(kind, _key(obj)) from error

    async def _find(self, kind: Kind, obj: Object) -> Object | None:
        metadata = obj["metadata"]
        try:
            return await self._client.get(kind, metadata.get("namespace", ""), metadata["name"])
        except NotFoundError:
            return None

    async def _own(self, kind: Kind, obj: Object) -> str:
        """Make our apply own the current spec. Returns the version to swap, if the caller swaps.

        Retries when others write meanwhile, for instance a status.
        """
        metadata = obj["metadata"]
        namespace, name, expected = metadata.get("namespace", ""), metadata["name"], _version(obj)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                known = await self._client.get(kind, namespace, name)
                if expected not in {"", _version(known)}:
                    return expected  # the API server rejects it
                if is_orphan(known):
                    known = await self._client.apply(kind, claim(known))
                if (patch := take_over(known)) is not None:
                    known = await self._client.patch(kind, namespace, name, patch)
            except NotFoundError:
                break
            except ConflictError as error:
                if attempt == _ATTEMPTS or expected:
                    raise _has_changed(kind, _key(obj)) from error
            else:
                return _version(known) if expected else ""
        return expected

    async def last_writer(self, kind: Kind, key: Key) -> str:
        found = await self._client.list(kind, key.namespace, fields=f"metadata.name={key.name}", limit=1)
        return last_writer(found["items"][0]) if found["items"] else ""

    async def delete(
        self, kind: Kind, key: Key, *, uid: str = "", resource_version: str = "", dry_run: bool = False
    ) -> None:
        try:
            await self._client.delete(
                kind, key.namespace, key.name, uid=uid, resource_version=resource_version, dry_run=dry_run
            )
        except ConflictError as error:
            raise _has_changed(kind, key) from error

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
        if version and not version.isdecimal():  # the API server would answer 500
            raise InvalidError(
                violations=(FieldViolation("resource_version", f"invalid resource version {version!r}"),)
            )
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
        """Yield all objects, then a bookmark to continue from."""
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
        """Do nothing: watches end with their callers."""

    def _in_our_words(
        self,
        refused: KleverError,
        kind: Kind,
        new: Object,
        old: Object | None = None,
        subresource: Literal["", "status"] = "",
    ) -> KleverError:
        """Return what every store says of a refused object; the API server's own words for what only it knows."""
        said = copy.deepcopy(new)
        try:
            meta.check_envelope(kind, said)
            fields = {v.field for v in refused.violations} if isinstance(refused, InvalidError) else set()
            if wrong := tuple(v for v in meta.violations(kind, said, old) if v.field in fields):
                return InvalidError(violations=wrong)
            self._admission.admit(kind, said, old, subresource)
        except InvalidError as ours:
            return ours
        return refused


def _has_changed(kind: Kind, key: Key) -> ConflictError:
    return ConflictError(f"{kind} {key} has changed meanwhile: read it and try again")


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))


def _key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def _stripped(obj: Object) -> Object:
    """Return the object without managedFields, which are long and matter only to the store."""
    obj["metadata"].pop("managedFields", None)
    return obj
