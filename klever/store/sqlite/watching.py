"""Watches. Each is a place in a kind's history and reads it in chunks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

from klever.api.kinds import Kind, Object
from klever.errors import ExpiredError, FieldViolation, InvalidError, UnavailableError
from klever.store import EventType, WatchEvent
from klever.store.selectors import Selector
from klever.store.sqlite.encoding import decode
from klever.store.sqlite.engine import Engine, Table
from klever.store.sqlite.history import Change

__all__ = ["bookmark", "event_position", "existing", "following", "heartbeat"]

_CHUNK = 500
_CHUNK_BYTES = 64 << 10
_BOOKMARK_SECONDS = 50.0
_HEARTBEAT_SECONDS = 5.0


async def existing(table: Table, namespace: str, selector: Selector) -> AsyncIterator[WatchEvent]:
    """Yield the objects that exist at the first step, as ADDED."""
    for number, row in enumerate(table.snapshot(namespace), 1):
        obj = decode(row.data)
        if selector.matches(obj):
            yield WatchEvent.of("ADDED", obj)
        if number % _CHUNK == 0:
            await asyncio.sleep(0)


def event_position(engine: Engine, table: Table, version: str) -> int:
    """Return the place after a resource version.

    Raises `ExpiredError` for a version that is too old, or newer than the store (after a backup was restored).
    """
    if not version.isdecimal():
        raise InvalidError(violations=(FieldViolation("resource_version", f"invalid resource version {version!r}"),))
    if int(version) > engine.revision:
        raise ExpiredError(f"resource version {version} is newer than the store's, {engine.revision}; list again")
    return table.history.place(int(version))


async def following(
    engine: Engine, table: Table, place: int, namespace: str, selector: Selector, *, bookmarks: bool
) -> AsyncIterator[WatchEvent]:
    """Yield changes from a place on. Ends with `ExpiredError`, or `UnavailableError` when the store is closed.

    A watcher whose selectors match nothing for a while gets a bookmark, so that its place does not become too old.
    """
    told, seen = time.monotonic(), 0
    while True:
        chunk = table.history.read(place, _CHUNK, _CHUNK_BYTES)
        for change in chunk:
            event = _event(change, namespace, selector)
            if event is not None:
                yield event
                told = time.monotonic()
        place += len(chunk)
        if chunk:
            seen = chunk[-1].revision
        if engine.closed:
            raise UnavailableError("the store is closed", reason="STORE_CLOSED")
        if place == table.history.end:
            await table.changed()
        else:
            await asyncio.sleep(0)  # a watcher with much to catch up lets others run
        if bookmarks and time.monotonic() - told >= _BOOKMARK_SECONDS:
            yield bookmark(table.kind, engine.revision if table.history.end == place else seen)
            told = time.monotonic()


async def heartbeat(engine: Engine) -> None:
    """Wake all watchers regularly until cancelled: a watcher that had no change for long is due a bookmark."""
    while True:
        await asyncio.sleep(_HEARTBEAT_SECONDS)
        for table in engine.tables.values():
            table.wake()


def bookmark(kind: Kind, revision: int) -> WatchEvent:
    obj: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"resourceVersion": str(revision)}}
    return WatchEvent.of("BOOKMARK", obj)


def _event(change: Change, namespace: str, selector: Selector) -> WatchEvent | None:
    if namespace and change.namespace != namespace:
        return None
    if selector.everything:
        kind: EventType = "DELETED" if change.deleted else "MODIFIED" if change.old else "ADDED"
    else:
        before = change.old is not None and selector.matches(decode(change.old))
        after = not change.deleted and selector.matches(decode(change.new))
        if not before and not after:
            return None
        kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
    return WatchEvent(kind, change.uid, str(change.revision), partial(decode, change.new))
