"""The store contract: the semantics of Kubernetes objects.

Objects are Kubernetes JSON (`klever.api.kinds.Object`). Every implementation rejects the same objects at the same field
paths and raises the same errors. One suite (`tests/contract/store.py`) runs against each.

Every implementation guarantees:

- An acknowledged write is durable: it survives kill -9 and power loss.
- `metadata.resourceVersion` is opaque and changes with every write that changes anything; a write that changes nothing
  returns the object unchanged and sends no event. `metadata.generation` increases when `spec` changes and when the
  deletion timestamp is set.
- Only `patch(..., subresource="status")` writes `status`, and it changes nothing else. For kinds that have a status,
  other writes leave it unchanged, and create drops it.
- A deleted object with finalizers stays, with `metadata.deletionTimestamp`, until the last finalizer is removed; no
  finalizer can be added meanwhile. Dependents (`metadata.ownerReferences`) are deleted after their last owner.
- An object's namespace must exist (`NotFoundError`, reason NAMESPACE_NOT_FOUND) and not be terminating
  (`PermissionDeniedError`). Deleting a namespace deletes its objects.
- A watch is ordered and gap-free per kind and resumable from a resourceVersion. A resourceVersion or page token that is
  too old raises `ExpiredError`, and so does a watch whose reader does not keep up: the caller lists again.

Only `klever.cmd` chooses an implementation.
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
    """Address of an object within its kind. `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. All pages of a list show the same moment.

    A watch from `resource_version` continues this list. `next_token` is empty on the last page. Each access may decode
    an item again: access it once.
    """

    items: Sequence[Object]
    resource_version: str
    next_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change. An object that starts or stops matching a watch's selectors arrives as ADDED or DELETED."""

    type: EventType
    uid: str
    """The object's uid, because a restored server can reuse a resource version. Empty for a BOOKMARK."""
    resource_version: str
    read: Callable[[], Object]

    @classmethod
    def of(cls, type_: EventType, obj: Object) -> WatchEvent:
        metadata = obj["metadata"]
        return cls(type_, str(metadata.get("uid", "")), str(metadata["resourceVersion"]), lambda: obj)

    @property
    def object(self) -> Object:
        """The state after the change (DELETED: the last state). A BOOKMARK has metadata only.

        Each access may decode it again: access it once.
        """
        return self.read()


class Store(Protocol):
    """Objects with Kubernetes' semantics. Selectors use Kubernetes' syntax; namespace "" means all.

    Every call can raise `InvalidError` with field violations, `NotFoundError`, `ConflictError`, `AlreadyExistsError`,
    `ExhaustedError` (disk full), `UnavailableError`, `DeadlineError`.

    With `dry_run` a write is checked and returned as it would be, and nothing is stored.
    """

    async def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        """Store a new object and return it with its defaults and metadata.

        An object without a name gets one from `metadata.generateName`.
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
        """List objects ordered by namespace and name; `limit` 0 returns all in one page.

        `fields` selects by `metadata.name`, `metadata.namespace` and the paths of the kind's printer columns.
        """

    async def patch(
        self,
        kind: Kind,
        key: Key,
        patch: dict[str, Any],
        *,
        subresource: Literal["", "status"] = "",
        dry_run: bool = False,
    ) -> Object:
        """Apply a JSON merge patch (RFC 7386) and return the result.

        With `metadata.resourceVersion` (or `metadata.uid`) in the patch it is a compare-and-swap: `ConflictError` if
        the object has changed.
        """

    async def apply(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        """Create an object, or replace its spec with the given one (absent fields return to their defaults).

        Labels and annotations merge: keys that an earlier apply set and this one does not are removed, others stay.
        With `metadata.resourceVersion` it is a compare-and-swap.
        """

    async def delete(
        self, kind: Kind, key: Key, *, uid: str = "", resource_version: str = "", dry_run: bool = False
    ) -> None:
        """Delete an object, or mark it as being deleted while it has finalizers.

        `uid` and `resource_version` are preconditions: `ConflictError` if they do not match.
        """

    async def last_writer(self, kind: Kind, key: Key) -> str:
        """Return the name of the tool that wrote the spec last; empty if that was Klever, or is not known."""

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
        """Yield changes after `resource_version`, or all objects as ADDED and then changes. Never ends by itself.

        With `bookmarks`, a BOOKMARK follows the initial objects and then comes at least every minute.
        """

    async def close(self) -> None:
        """Finish pending writes, end watches and release everything."""
