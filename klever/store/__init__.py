"""The store: Kubernetes' object semantics as a contract.

Objects are Kubernetes JSON (`klever.api.kinds.Object`). Every implementation refuses the same objects at the same
field paths and answers with the same errors; one suite (`tests/contract/store.py`) runs against each.

What holds in all of them:

- An acknowledged write is durable: it survives kill -9 and power loss.
- `metadata.resourceVersion` is opaque and changes with every write that changes anything; a write that changes
  nothing returns the object as it is and sends no event. `metadata.generation` moves when `spec` does, and when the
  deletion timestamp is set.
- `status` is written through `patch(..., subresource="status")` alone, which changes nothing else; other writes leave
  the status as it is (create drops it) for kinds that have one.
- A deleted object with finalizers stays, with `metadata.deletionTimestamp`, until the last finalizer is taken away;
  no finalizer can be added then. Dependents (`metadata.ownerReferences`) go after their last owner.
- An object's namespace must exist (`NotFoundError`, reason NAMESPACE_NOT_FOUND) and not be terminating
  (`PermissionDeniedError`).
  Deleting a namespace deletes what is in it.
- A watch is ordered and gap-free per kind and resumable from a resourceVersion; one that is too old raises
  `ExpiredError`, as does a page token that is too old: the caller lists again. A watcher that does not keep up is
  ended with `ExpiredError`.

Implementations are chosen by `klever.cmd` alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from klever.api.kinds import Kind, Object

__all__ = ["EventType", "Key", "Page", "Store", "WatchEvent"]

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Address of an object within its kind. `namespace` is empty for kinds that have none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: all pages of a list show the same moment.

    `resource_version` is where a watch continues this list; `next_token` is empty on the last page. Items may be
    decoded as they are looked at: look once.
    """

    items: Sequence[Object]
    resource_version: str
    next_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change. An object that begins or ceases to match a watch's selectors arrives as ADDED or DELETED."""

    type: EventType
    uid: str
    """Of the object: a server that was restored gives a resource version to another one. Empty for a BOOKMARK."""
    resource_version: str
    read: Callable[[], Object]

    @classmethod
    def of(cls, type_: EventType, obj: Object) -> WatchEvent:
        metadata = obj["metadata"]
        return cls(type_, str(metadata.get("uid", "")), str(metadata["resourceVersion"]), lambda: obj)

    @property
    def object(self) -> Object:
        """The state after the change (DELETED: the last one); of a BOOKMARK it has metadata only.

        It may be decoded as it is looked at: look once.
        """
        return self.read()


class Store(Protocol):
    """Objects with Kubernetes' semantics. Selectors are in Kubernetes' syntax; namespace "" means all.

    Errors of all calls: `InvalidError` with field violations, `NotFoundError`, `ConflictError`,
    `AlreadyExistsError`, `ExhaustedError` (disk full), `UnavailableError`, `DeadlineError`.
    """

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Store a new object and return it with the defaults and metadata that it got.

        `metadata.generateName` is completed where there is no name.
        """

    async def get(self, kind: Kind, key: Key) -> Object: ...

    async def list(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        token: str = "",
    ) -> Page:
        """List objects ordered by namespace and name; `limit` 0 means all in one page.

        `fields` selects by `metadata.name`, `metadata.namespace` and the paths of the kind's printer columns.
        """

    async def patch(
        self, kind: Kind, key: Key, patch: dict[str, Any], *, subresource: Literal["", "status"] = ""
    ) -> Object:
        """Apply a JSON merge patch (RFC 7386) and return the result.

        With `metadata.resourceVersion` (or `metadata.uid`) in the patch it is a compare-and-swap: `ConflictError` if
        the object has moved on.
        """

    async def apply(self, kind: Kind, obj: Object) -> Object:
        """Declare an object: create it, or make its spec exactly what is given (the rest returns to its defaults).

        Labels and annotations merge: keys that an earlier apply gave and this one does not are removed, others stay.
        With `metadata.resourceVersion` it is a compare-and-swap.
        """

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", resource_version: str = "") -> None:
        """Delete, or mark as being deleted where finalizers hold it.

        `uid` and `resource_version` are preconditions: `ConflictError` if they do not hold.
        """

    def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        bookmarks: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield changes after `resource_version`; without one, what exists as ADDED first. Never ends by itself.

        With `bookmarks` a BOOKMARK follows the initial objects, and comes at least every minute.
        """

    async def close(self) -> None:
        """End watches and release everything. Writes under way are finished first."""
