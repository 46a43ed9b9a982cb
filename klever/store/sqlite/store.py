"""The store itself: Kubernetes' semantics over the engine."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import apsw
import orjson

from klever.api.kinds import KINDS, NAMESPACE, Kind, Object
from klever.errors import (
    AlreadyExistsError,
    FieldViolation,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from klever.store import EventType, Key, Page, WatchEvent, meta
from klever.store.admission import Admission
from klever.store.merge import applied_by, declare, merge_patch
from klever.store.selectors import Selector
from klever.store.sqlite.encoding import Encoded, copied, decode, encode
from klever.store.sqlite.engine import Engine, Table
from klever.store.sqlite.gc import Collector
from klever.store.sqlite.history import Change, History
from klever.store.sqlite.pages import Pages
from klever.store.sqlite.schema import Row, connect, failure, lock, prepare, revision, rows
from klever.store.sqlite.writer import Writer

__all__ = ["SqliteStore"]

_CHUNK = 500
_CHUNK_BYTES = 64 << 10
_BOOKMARK_SECONDS = 55.0

Decide = Callable[[Object], Object]
"""From the object as it is to the object as it shall be; raises to refuse."""


class SqliteStore:
    """Opened by `open`, which takes the database for this process alone."""

    def __init__(self, admission: Admission, clock: Callable[[], datetime]) -> None:
        self._admission = admission
        self._clock = clock
        self._pages = Pages()
        self._engine: Engine
        self._writer: Writer
        self._lock = -1
        self._collecting: asyncio.Task[None]

    @classmethod
    async def open(
        cls, path: Path, admission: Admission, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> SqliteStore:
        """Open or make a store.

        Raises `FailedPreconditionError` (in use, or newer), `IntegrityError`, `ExhaustedError`.
        """
        store = cls(admission, clock)
        store._lock = lock(path)
        try:
            connection, stored, last = await asyncio.to_thread(_read, path)
        except (apsw.Error, OSError) as error:
            os.close(store._lock)
            raise failure(error, path) from error
        except KleverError:
            os.close(store._lock)
            raise
        store._begin(connection, path, stored, last)
        return store

    def _begin(self, connection: apsw.Connection, path: Path, stored: list[Row], last: int) -> None:
        loop = asyncio.get_running_loop()
        by_kind: dict[str, list[Row]] = {}
        for row in stored:
            by_kind.setdefault(row.kind, []).append(row)
        tables = {kind: Table(kind, by_kind.get(kind.resource, ()), History(last)) for kind in KINDS}
        self._writer = Writer(connection, path, lambda error: _call(loop, self._engine.written, error))
        self._engine = Engine(tables, last, self._writer.submit)
        collector = Collector(self._engine, self.delete, self._release, self._clock)
        collector.load()
        gc.freeze()  # what was loaded stays: looking at it again and again would cost every collection
        self._collecting = asyncio.create_task(collector.run(), name="store collector")

    async def close(self) -> None:
        self._collecting.cancel()
        await asyncio.wait([self._collecting])
        await self._engine.close()
        await asyncio.to_thread(self._writer.close)
        os.close(self._lock)

    # Reading

    async def get(self, kind: Kind, key: Key) -> Object:
        row = self._engine.tables[kind].rows.get((key.namespace, key.name))
        if row is None:
            raise _not_found(kind, key)
        return decode(row.data)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, token: str = ""
    ) -> Page:
        selector = Selector(kind, labels, fields)
        if token:
            pinned = self._pages.find(token)
            found, start, at = pinned.rows, pinned.start, pinned.revision
        else:
            found, start, at = self._engine.tables[kind].snapshot(namespace), 0, self._engine.revision
        if selector.everything and not limit:
            return Page(Encoded(tuple(row.data for row in found[start:])), str(at))
        items: list[Object] = []
        position = start
        for position in range(start, len(found)):
            if limit and len(items) == limit:
                break
            obj = decode(found[position].data)
            if selector.everything or selector.matches(obj):
                items.append(obj)
            if position % _CHUNK == _CHUNK - 1 and limit > _CHUNK:
                await asyncio.sleep(0)
        else:
            return Page(tuple(items), str(at))
        return Page(tuple(items), str(at), self._pages.pin(found, position, at))

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        bookmarks: bool = False,
    ) -> AsyncIterator[WatchEvent]:
        selector = Selector(kind, labels, fields)
        table = self._engine.tables[kind]
        if resource_version in ("", "0"):
            place, at = table.history.end, self._engine.revision
            for number, row in enumerate(table.snapshot(namespace)):
                obj = decode(row.data)
                if selector.matches(obj):
                    yield WatchEvent("ADDED", obj)
                if number % _CHUNK == _CHUNK - 1:
                    await asyncio.sleep(0)
            if bookmarks:
                yield _bookmark(kind, at)
        else:
            place = table.history.place(_revision(resource_version))
        while True:
            for change in table.history.read(place, _CHUNK, _CHUNK_BYTES):
                place += 1
                event = _event(change, namespace, selector)
                if event is not None:
                    yield event
            if await self._quiet(table, place) and bookmarks:
                yield _bookmark(kind, self._engine.revision)

    async def _quiet(self, table: Table, place: int) -> bool:
        """Wait for a change; returns True if none came for the time of a bookmark."""
        if table.history.end <= place:
            if self._engine.closed:
                raise UnavailableError("the store is closed")
            try:
                await asyncio.wait_for(table.changed(place), _BOOKMARK_SECONDS)
            except TimeoutError:
                return True
        else:
            await asyncio.sleep(0)
        if self._engine.closed:
            raise UnavailableError("the store is closed")
        return False

    # Writing

    async def create(self, kind: Kind, obj: Object) -> Object:
        new = copied(obj)
        meta.check_envelope(kind, new)
        meta.begin(kind, new, self._clock())
        _refuse(tuple(meta.violations(kind, new)))
        return await self._create(kind, new, applied=False)

    async def patch(
        self, kind: Kind, key: Key, patch: dict[str, Any], *, subresource: Literal["", "status"] = ""
    ) -> Object:
        change = copied(patch)

        def decide(old: Object) -> Object:
            meta.check_preconditions(f"{kind.kind} {key}", change.get("metadata"), old)
            merged: Object = merge_patch(old, change)
            if subresource == "status":
                return old | {"status": merged.get("status", {})}
            if kind.has_status:
                merged.pop("status", None)
                merged |= {"status": old["status"]} if "status" in old else {}
            return merged

        return await self._update(kind, key, decide, subresource)

    async def apply(self, kind: Kind, obj: Object) -> Object:
        given = copied(obj)
        meta.check_envelope(kind, given)
        metadata = given["metadata"]
        key = Key(metadata.get("namespace", ""), metadata.get("name", ""))
        while True:
            row, _ = self._engine.tables[kind].current((key.namespace, key.name))
            if row is None:
                if metadata.get("resourceVersion"):
                    raise _not_found(kind, key)
                new = copied(given)
                meta.begin(kind, new, self._clock())
                _refuse(tuple(meta.violations(kind, new)))
                try:
                    return await self._create(kind, new, applied=True)
                except AlreadyExistsError:
                    continue  # somebody was quicker: change that one

            def decide(old: Object) -> Object:
                meta.check_preconditions(f"{kind.kind} {key}", metadata, old)
                current, _ = self._engine.tables[kind].current((key.namespace, key.name))
                applied = orjson.loads(current.applied) if current and current.applied else {}
                return declare(kind, old, given, applied)

            try:
                return await self._update(kind, key, decide, "", applied=orjson.dumps(applied_by(given)))
            except NotFoundError:
                continue

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", resource_version: str = "") -> None:
        preconditions = {"uid": uid, "resourceVersion": resource_version}

        def decide(old: Object) -> Object:
            meta.check_preconditions(f"{kind.kind} {key}", preconditions, old)
            return old

        table = self._engine.tables[kind]
        old, row = await self._current(kind, key, decide)
        held = old["metadata"].get("finalizers") or kind == NAMESPACE
        if held and meta.deleting(old):
            return
        if held:
            marked = copied(old)
            meta.mark_deleted(kind, marked, self._clock())
            await self._put(table, row, marked, row.applied)
        else:
            await self._drop(table, row, old)

    async def _release(self, key: Key) -> None:
        """Remove a namespace that is empty."""
        old, row = await self._current(NAMESPACE, key, lambda obj: obj)
        if meta.deleting(old):
            await self._drop(self._engine.tables[NAMESPACE], row, old)

    async def _create(self, kind: Kind, new: Object, *, applied: bool) -> Object:
        metadata = new["metadata"]
        address = (metadata.get("namespace", ""), metadata["name"])
        table = self._engine.tables[kind]
        if kind.namespaced:
            self._check_namespace(kind, address[0])
        named = orjson.dumps(applied_by(new)) if applied else b""
        admitted = self._admission.admit(kind, new, None, "")
        existing, commit = table.current(address)
        if existing is not None:
            if commit is not None:
                await commit.wait()
            raise AlreadyExistsError(f"{kind.kind} {Key(*address)} exists already")
        number = self._engine.next_revision
        data = encode(_versioned(admitted, number))
        row = Row(number, kind.resource, *address, number, data, named)
        await self._engine.write(table, row, Change(*address, number, None, data)).wait()
        return decode(data)

    def _check_namespace(self, kind: Kind, namespace: str) -> None:
        row, _ = self._engine.tables[NAMESPACE].current(("", namespace))
        if row is None:
            raise NotFoundError(f'namespaces "{namespace}" not found', reason="NAMESPACE_NOT_FOUND")
        if meta.deleting(decode(row.data)):
            raise PermissionDeniedError(
                f"namespace {namespace} is being deleted: no {kind.kind} can be created in it",
                reason="NAMESPACE_TERMINATING",
            )

    async def _current(self, kind: Kind, key: Key, decide: Decide) -> tuple[Object, Row]:
        """Return what `decide` makes of the object, and its row.

        A refusal that rests on a write that is not durable yet waits for it: it may never come to be.
        """
        while True:
            row, commit = self._engine.tables[kind].current((key.namespace, key.name))
            try:
                if row is None:
                    raise _not_found(kind, key)
                return decide(decode(row.data)), row
            except KleverError:
                if commit is None:
                    raise
                try:
                    await commit.wait()
                except KleverError:
                    continue
                raise

    async def _update(
        self,
        kind: Kind,
        key: Key,
        decide: Decide,
        subresource: Literal["", "status"],
        applied: bytes | None = None,
    ) -> Object:
        def checked(old: Object) -> Object:
            new = decide(old)
            meta.normalize(new)
            if subresource == "status":
                new["metadata"] = old["metadata"]
            new = self._admission.admit(kind, copied(new), old, subresource)
            if subresource == "":
                meta.carry_over(kind, old, new)  # after the defaults: they are no change of the spec
                _refuse(tuple(meta.violations(kind, new, old)))
            return new

        new, row = await self._current(kind, key, checked)
        table = self._engine.tables[kind]
        old = decode(row.data)
        if meta.deleting(new) and not new["metadata"].get("finalizers") and kind != NAMESPACE:
            return await self._drop(table, row, new)
        if new == old and applied in (None, row.applied):
            _, commit = table.current((row.namespace, row.name))
            if commit is not None:
                await commit.wait()
            return old
        return await self._put(table, row, new, row.applied if applied is None else applied)

    async def _put(self, table: Table, row: Row, new: Object, applied: bytes) -> Object:
        number = self._engine.next_revision
        data = encode(_versioned(new, number))
        kept = Row(row.id, row.kind, row.namespace, row.name, number, data, applied)
        await self._engine.write(table, kept, Change(row.namespace, row.name, number, row.data, data)).wait()
        return decode(data)

    async def _drop(self, table: Table, row: Row, last: Object) -> Object:
        number = self._engine.next_revision
        data = encode(_versioned(last, number))
        change = Change(row.namespace, row.name, number, row.data, data, deleted=True)
        await self._engine.write(table, row, change).wait()
        return decode(data)


def _read(path: Path) -> tuple[apsw.Connection, list[Row], int]:
    connection = connect(path)
    prepare(connection, path)
    return connection, list(rows(connection)), revision(connection)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *args)


def _versioned(obj: Object, number: int) -> Object:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(number)}}


def _refuse(violations: tuple[FieldViolation, ...]) -> None:
    if violations:
        raise InvalidError(violations=violations)


def _not_found(kind: Kind, key: Key) -> NotFoundError:
    return NotFoundError(f'{kind.plural} "{key}" not found')


def _revision(text: str) -> int:
    if not text.isdecimal():
        raise InvalidError(violations=(FieldViolation("resource_version", f"{text!r} was not given by this store"),))
    return int(text)


def _bookmark(kind: Kind, at: int) -> WatchEvent:
    metadata = {"resourceVersion": str(at)}
    return WatchEvent("BOOKMARK", {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})


def _event(change: Change, namespace: str, selector: Selector) -> WatchEvent | None:
    if namespace and change.namespace != namespace:
        return None
    new = decode(change.new)
    if selector.everything:
        kind: EventType = "DELETED" if change.deleted else "MODIFIED" if change.old else "ADDED"
        return WatchEvent(kind, new)
    before = change.old is not None and selector.matches(decode(change.old))
    after = not change.deleted and selector.matches(new)
    if not before and not after:
        return None
    return WatchEvent("MODIFIED" if before and after else "ADDED" if after else "DELETED", new)
