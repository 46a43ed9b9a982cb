"""Deletes objects whose owners are all gone, and empties namespaces that are being deleted.

As in Kubernetes (pkg/controller/garbagecollector), an owner is in the dependent's namespace or cluster-scoped, and its
uid must match. An owner of a kind that the store does not keep counts as existing, because the store cannot know.
References to deleted owners stay while another owner exists.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from klever.api.kinds import NAMESPACE, Kind
from klever.errors import ConflictError, KleverError, NotFoundError
from klever.store import Key
from klever.store.sqlite.encoding import decode, is_deleting
from klever.store.sqlite.engine import Engine
from klever.store.sqlite.history import Change
from klever.store.sqlite.owners import Node, Owner, Owners

__all__ = ["Collector", "Remover"]

log = logging.getLogger(__name__)

_CHUNK = 500
"""How many deletions run at once. They share transactions."""

_RETRY_SECONDS = 1.0


class Remover(Protocol):
    """The writes that the collector needs."""

    async def delete(self, kind: Kind, key: Key, preconditions: dict[str, str]) -> None:
        """Delete an object; `ConflictError` if its `uid` is not that of the preconditions."""

    async def release(self, key: Key) -> None:
        """Drop a namespace that is empty."""


class Collector:
    """Observes each commit, and deletes dependents in `run`."""

    def __init__(self, engine: Engine, remover: Remover) -> None:
        self._engine = engine
        self._kinds = {(kind.api_version, kind.kind): kind for kind in engine.tables}
        self._remover = remover
        self._owners = Owners()
        self._suspects: set[Node] = set()
        self._terminating: set[str] = set()
        self._work = asyncio.Event()
        for kind, table in engine.tables.items():
            for row in table.rows.values():
                self._learn(Node(kind, row.namespace, row.name), row.data)
        engine.observers.append(self._observe)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._collect()
            except KleverError as error:
                log.warning("garbage collection failed, will retry: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                self._work.set()

    def _observe(self, kind: Kind, change: Change) -> None:
        node = Node(kind, change.namespace, change.name)
        if change.deleted:
            self._forget(node, change.new)
        else:
            self._learn(node, change.new)

    def _learn(self, node: Node, data: bytes) -> None:
        if self._owners.learn(node, data):
            self._suspects.add(node)
            self._work.set()
        if node.kind == NAMESPACE and is_deleting(data):
            self._terminating.add(node.name)
            self._work.set()

    def _forget(self, node: Node, data: bytes) -> None:
        self._owners.forget(node)
        dependents = self._owners.dependents(data)
        self._suspects |= dependents
        if node.kind == NAMESPACE:
            self._terminating.discard(node.name)
        if dependents or (node.namespace in self._terminating and not self._holds_any(node.namespace)):
            self._work.set()

    async def _collect(self) -> None:
        while self._suspects:
            suspects = set(islice(self._suspects, _CHUNK))
            self._suspects -= suspects
            await self._delete(node for node in suspects if self._orphaned(node))
            await asyncio.sleep(0)
        for namespace in tuple(self._terminating):
            await self._empty(namespace)

    def _orphaned(self, node: Node) -> bool:
        owners = self._owners.of(node)
        return bool(owners) and not any(self._there(owner, node.namespace) for owner in owners)

    def _there(self, owner: Owner, namespace: str) -> bool:
        kind = self._kinds.get((owner.api_version, owner.kind))
        if kind is None or (kind.namespaced and not namespace):
            return True
        row = self._engine.tables[kind].rows.get((namespace if kind.namespaced else "", owner.name))
        return row is not None and decode(row.data)["metadata"]["uid"] == owner.uid

    async def _empty(self, namespace: str) -> None:
        for kind, table in self._engine.tables.items():
            if kind.namespaced:
                rows = iter(table.snapshot(namespace))
                while chunk := list(islice(rows, _CHUNK)):
                    await self._delete(Node(kind, row.namespace, row.name) for row in chunk)
        if namespace in self._terminating and not self._holds_any(namespace):
            await self._remover.release(Key("", namespace))

    def _holds_any(self, namespace: str) -> bool:
        return any(table.holds_any(namespace) for table in self._engine.tables.values())

    async def _delete(self, nodes: Iterable[Node]) -> None:
        """Delete the objects that are not being deleted already. Those that fail stay suspects."""
        results = await asyncio.gather(*map(self._delete_one, nodes), return_exceptions=True)
        for error in results:
            if error is not None:
                raise error

    async def _delete_one(self, node: Node) -> None:
        row = self._engine.tables[node.kind].rows.get((node.namespace, node.name))
        if row is None or is_deleting(row.data):
            return
        uid = decode(row.data)["metadata"]["uid"]
        try:
            await self._remover.delete(node.kind, Key(node.namespace, node.name), {"uid": uid})
        except (NotFoundError, ConflictError):
            log.debug("%s %s/%s was changed meanwhile", node.kind, node.namespace, node.name)
        except KleverError:
            self._suspects.add(node)
            raise
