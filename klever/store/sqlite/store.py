"""The store: the contract's calls on top of the engine."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import apsw
import orjson

from klever.api.kinds import KINDS, Kind, Object
from klever.errors import AlreadyExistsError, FieldViolation, InvalidError, KleverError, NotFoundError
from klever.store import Key, Page, WatchEvent, meta
from klever.store.admission import Admission
from klever.store.merge import applied_by, declare, merge_patch
from klever.store.selectors import Selector
from klever.store.sqlite.encoding import copied, decode
from klever.store.sqlite.engine import Engine, Table
from klever.store.sqlite.expiry import expire_events
from klever.store.sqlite.gc import Collector
from klever.store.sqlite.history import History
from klever.store.sqlite.pages import Pages, Rest
from klever.store.sqlite.schema import Row, check_not_lost, connect, failure, lock, prepare, revision, rows
from klever.store.sqlite.watching import bookmark, event_position, existing, following, heartbeat
from klever.store.sqlite.writer import Writer
from klever.store.sqlite.writes import Writes, not_found

__all__ = ["SqliteStore"]

_FULL_COLLECTIONS = 200
"""Full collections per collections of the middle generation; Python's default is 10."""


class SqliteStore:
    """Created by `open`, which locks the database for this process."""

    def __init__(self, engine: Engine, writer: Writer, writes: Writes, held: int, tasks: list[asyncio.Task[None]]):
        self._engine = engine
        self._writer = writer
        self._writes = writes
        self._lock = held
        self._tasks = tasks
        self._pages = Pages()

    @classmethod
    async def open(
        cls,
        path: Path,
        admission: Admission,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        kinds: Iterable[Kind] = KINDS,
    ) -> SqliteStore:
        """Open the store of these kinds. Create it if it is missing.

        Raises `FailedPreconditionError` (in use, or newer), `IntegrityError`, `ExhaustedError`.
        """
        held = lock(path)
        try:
            connection, stored, last = await asyncio.to_thread(_read, path)
        except KleverError:
            os.close(held)
            raise
        engine, writer = _start(connection, path, kinds, stored, last)
        writes = Writes(engine, admission, clock)
        tasks = [
            asyncio.create_task(Collector(engine, writes).run(), name="store collector"),
            asyncio.create_task(expire_events(engine, writes, clock), name="store expiry"),
            asyncio.create_task(heartbeat(engine), name="store heartbeat"),
        ]
        # Stored objects have no cycles, but a full collection visits them all: 20 ms for 20,000 objects.
        gc.freeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _FULL_COLLECTIONS)
        return cls(engine, writer, writes, held, tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._engine.close()
        await asyncio.to_thread(self._writer.close)
        os.close(self._lock)

    # Reading

    async def get(self, kind: Kind, key: Key) -> Object:
        row = self._engine.tables[kind].rows.get((key.namespace, key.name))
        if row is None:
            raise not_found(kind, key)
        return decode(row.data)

    async def list(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, token: str = ""
    ) -> Page:
        selector = Selector(kind, labels, fields)
        question = (kind, namespace, labels, fields)
        if token:
            rest = self._pages.find(token, question)
        else:
            rest = Rest(question, self._engine.tables[kind].snapshot(namespace), self._engine.revision)
        return await self._pages.page(rest, selector, limit)

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
        selector = Selector(kind, labels, fields)
        table = self._engine.tables[kind]
        if resource_version in ("", "0"):
            place, at = table.history.end, self._engine.revision
            async for event in existing(table, namespace, selector):
                yield event
            if bookmarks:
                yield bookmark(kind, at)
        else:
            place = event_position(self._engine, table, resource_version)
        async for event in following(self._engine, table, place, namespace, selector, bookmarks=bookmarks):
            yield event

    # Writing

    async def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        if not isinstance(obj, dict):
            raise InvalidError(f"expected an object, not {type(obj).__name__}")
        new = dict(obj)
        meta.check_envelope(kind, new)  # it replaces the metadata
        return await self._writes.create(kind, new, dry_run=dry_run)

    async def patch(
        self,
        kind: Kind,
        key: Key,
        patch: dict[str, Any],
        *,
        subresource: Literal["", "status"] = "",
        dry_run: bool = False,
    ) -> Object:
        change = copied(patch)

        def decide(old: Object, _row: Row) -> Object:
            meta.check_preconditions(f"{kind.kind} {key}", change.get("metadata"), old)
            merged: Object = merge_patch(old, change)
            if subresource == "status":
                return _with_status(old, merged)
            return _with_status(merged, old) if kind.has_status else merged

        return await self._writes.update(kind, key, decide, subresource, dry_run=dry_run)

    async def apply(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        given = copied(obj)
        meta.check_envelope(kind, given)
        metadata = given["metadata"]
        key = Key(metadata.get("namespace", ""), metadata.get("name", ""))
        if not key.name:
            raise InvalidError(violations=(FieldViolation("metadata.name", "is required"),))
        named = orjson.dumps(applied_by(given))

        def decide(old: Object, row: Row) -> Object:
            meta.check_preconditions(f"{kind.kind} {key}", metadata, old)
            return declare(kind, old, given, orjson.loads(row.applied) if row.applied else {})

        while True:
            try:
                return await self._writes.update(kind, key, decide, applied=named, dry_run=dry_run)
            except NotFoundError:
                if metadata.get("resourceVersion") or metadata.get("uid"):
                    raise
            try:
                return await self._writes.create(kind, copied(given), named, dry_run=dry_run)
            except AlreadyExistsError:
                continue  # another caller created it: update that object

    async def last_writer(self, kind: Kind, key: Key) -> str:  # noqa: ARG002 - Klever alone writes here
        return ""

    async def delete(
        self, kind: Kind, key: Key, *, uid: str = "", resource_version: str = "", dry_run: bool = False
    ) -> None:
        await self._writes.delete(kind, key, {"uid": uid, "resourceVersion": resource_version}, dry_run=dry_run)


def _read(path: Path) -> tuple[apsw.Connection, list[Row], int]:
    try:
        check_not_lost(path)
        connection = connect(path)
        prepare(connection, path)
        return connection, list(rows(connection)), revision(connection)
    except (apsw.Error, OSError) as error:
        raise failure(error, path) from error


def _start(
    connection: apsw.Connection, path: Path, kinds: Iterable[Kind], stored: list[Row], last: int
) -> tuple[Engine, Writer]:
    """Start the engine and its writer thread, which reports to this loop."""
    loop = asyncio.get_running_loop()
    by_kind: dict[str, list[Row]] = {}
    for row in stored:
        by_kind.setdefault(row.kind, []).append(row)
    tables = {kind: Table(kind, by_kind.get(kind.resource, ()), History(last)) for kind in kinds}

    def answer(error: KleverError | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(engine.written, error)

    writer = Writer(connection, path, answer)
    engine = Engine(tables, last, writer.submit)
    return engine, writer


def _with_status(obj: Object, source: Object) -> Object:
    """Return an object with the status of `source`, or without a status if `source` has none."""
    new = {field: value for field, value in obj.items() if field != "status"}
    return new | {"status": source["status"]} if "status" in source else new
