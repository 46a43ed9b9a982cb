"""An index of the owner references of all stored objects."""

from __future__ import annotations

from typing import NamedTuple

from klever.api.kinds import Kind
from klever.store.sqlite.encoding import decode

__all__ = ["Node", "Owner", "Owners"]

_MARK = b'"ownerReferences"'


class Node(NamedTuple):
    """Address of an object."""

    kind: Kind
    namespace: str
    name: str


class Owner(NamedTuple):
    """An owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str


class Owners:
    def __init__(self) -> None:
        self._owners: dict[Node, tuple[Owner, ...]] = {}
        self._dependents: dict[str, set[Node]] = {}

    def learn(self, node: Node, data: bytes) -> bool:
        """Index an object's current state. Return True if it has owners and they have changed."""
        owners = _references(data) if _MARK in data else ()
        if owners == self._owners.get(node, ()):
            return False
        self.forget(node)
        if owners:
            self._owners[node] = owners
        for owner in owners:
            self._dependents.setdefault(owner.uid, set()).add(node)
        return bool(owners)

    def forget(self, node: Node) -> None:
        for owner in self._owners.pop(node, ()):
            dependents = self._dependents.get(owner.uid, set())
            dependents.discard(node)
            if not dependents:
                self._dependents.pop(owner.uid, None)

    def of(self, node: Node) -> tuple[Owner, ...]:
        return self._owners.get(node, ())

    def dependents(self, data: bytes) -> set[Node]:
        """Return the dependents of an object."""
        return self._dependents.get(decode(data)["metadata"]["uid"], set()) if self._dependents else set()


def _references(data: bytes) -> tuple[Owner, ...]:
    references = decode(data)["metadata"].get("ownerReferences", ())
    return tuple(Owner(r["apiVersion"], r["kind"], r["name"], r["uid"]) for r in references)
