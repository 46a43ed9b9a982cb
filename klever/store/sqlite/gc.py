"""Collects what has lost its last owner, empties namespaces that are being deleted, and drops old Events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from klever.api.codec import parse_time
from klever.api.kinds import EVENT, NAMESPACE, Kind
from klever.errors import KleverError, NotFoundError
from klever.store import Key
from klever.store.meta import deleting
from klever.store.sqlite.encoding import decode
from klever.store.sqlite.engine import Engine
from klever.store.sqlite.history import Change

__all__ = ["Collector"]

log = logging.getLogger(__name__)

_EVENT_LIFE = timedelta(hours=1)
_SWEEP_SECONDS = 60.0
_MARK = b'"ownerReferences"'

Node = tuple[Kind, str, str]
"""Kind, namespace and name of an object."""


class Collector:
    """Watches commits. `delete` removes an object, `release` a terminating namespace that is empty."""

    def __init__(
        self,
        engine: Engine,
        delete: Callable[[Kind, Key], Awaitable[object]],
        release: Callable[[Key], Awaitable[object]],
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._delete = delete
        self._release = release
        self._clock = clock
        self._dependents: dict[str, set[Node]] = {}
        self._work = asyncio.Event()
        self._orphans: set[Node] = set()
        engine.observers.append(self._observe)

    def load(self) -> None:
        """Learn every owner reference from what is stored; whose owners have vanished goes."""
        for table in self._engine.tables.values():
            for row in table.rows.values():
                if _MARK in row.data:
                    self._learn((table.kind, row.namespace, row.name), row.data)
        uids = {decode(row.data)["metadata"]["uid"] for t in self._engine.tables.values() for row in t.rows.values()}
        for uid in self._dependents.keys() - uids:
            self._orphans |= self._dependents[uid]
        self._work.set()

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._work.wait(), _SWEEP_SECONDS)
            except TimeoutError:
                await self._drop_events()
            self._work.clear()
            try:
                await self._collect()
            except KleverError as error:
                log.warning("collection failed, it is tried again: %s", error)
                await asyncio.sleep(1.0)
                self._work.set()

    def _observe(self, kind: Kind, change: Change) -> None:
        if _MARK in change.new and not change.deleted:
            self._learn((kind, change.namespace, change.name), change.new)
        if change.deleted:
            uid = decode(change.new)["metadata"]["uid"]
            self._orphans |= self._dependents.pop(uid, set())
            if self._orphans or self._terminating():
                self._work.set()
        elif kind == NAMESPACE:
            self._work.set()

    def _learn(self, node: Node, data: bytes) -> None:
        for reference in decode(data)["metadata"].get("ownerReferences", []):
            self._dependents.setdefault(reference["uid"], set()).add(node)

    async def _collect(self) -> None:
        while self._orphans:
            kind, namespace, name = node = next(iter(self._orphans))
            await self._delete_if_orphan(kind, Key(namespace, name))
            self._orphans.discard(node)
        for key in self._terminating():
            await self._empty(key)

    async def _delete_if_orphan(self, kind: Kind, key: Key) -> None:
        row, _ = self._engine.tables[kind].current((key.namespace, key.name))
        if row is None:
            return
        metadata = decode(row.data)["metadata"]
        owners = {r["uid"] for r in metadata.get("ownerReferences", [])}
        if owners and "deletionTimestamp" not in metadata and not owners & self._dependents_known():
            await self._ignore_missing(self._delete(kind, key))

    def _dependents_known(self) -> set[str]:
        """The owners that are still there, as far as anything depends on them."""
        return set(self._dependents)

    def _terminating(self) -> list[Key]:
        rows = self._engine.tables[NAMESPACE].rows.values()
        return [Key("", row.name) for row in rows if b'"deletionTimestamp"' in row.data and deleting(decode(row.data))]

    async def _empty(self, namespace: Key) -> None:
        held = False
        for kind, table in self._engine.tables.items():
            if kind.namespaced:
                for row in table.snapshot(namespace.name):
                    if not deleting(decode(row.data)):
                        await self._ignore_missing(self._delete(kind, Key(row.namespace, row.name)))
                held = held or table.holds_any(namespace.name)
        if not held:
            await self._ignore_missing(self._release(namespace))

    async def _drop_events(self) -> None:
        before = self._clock() - _EVENT_LIFE
        for row in self._engine.tables[EVENT].snapshot():
            event = decode(row.data)
            last = event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]
            if parse_time(last) < before:
                await self._ignore_missing(self._delete(EVENT, Key(row.namespace, row.name)))

    @staticmethod
    async def _ignore_missing(deletion: Awaitable[object]) -> None:
        try:
            await deletion
        except NotFoundError:
            return
