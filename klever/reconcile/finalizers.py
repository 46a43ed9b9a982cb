"""Finalizers keep a deleted object until its controller has removed what it made for the object.

The writes are compare-and-swap. A conflict is ignored, because the other change enqueues the key again.
"""

from __future__ import annotations

from contextlib import suppress

from klever.api.kinds import Kind, Object
from klever.errors import ConflictError, NotFoundError
from klever.store import Key, Store

__all__ = ["hold", "is_held", "release"]


def is_held(obj: Object, finalizer: str) -> bool:
    """Whether the object has the finalizer."""
    return finalizer in obj["metadata"].get("finalizers", [])


async def hold(store: Store, kind: Kind, obj: Object, finalizer: str) -> None:
    """Add the finalizer."""
    if not is_held(obj, finalizer):
        await _write(store, kind, obj, [*obj["metadata"].get("finalizers", []), finalizer])


async def release(store: Store, kind: Kind, obj: Object, finalizer: str) -> None:
    """Remove the finalizer."""
    if is_held(obj, finalizer):
        await _write(store, kind, obj, [name for name in obj["metadata"]["finalizers"] if name != finalizer])


async def _write(store: Store, kind: Kind, obj: Object, finalizers: list[str]) -> None:
    metadata = obj["metadata"]
    patch = {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}
    with suppress(ConflictError, NotFoundError):
        await store.patch(kind, Key(metadata.get("namespace", ""), metadata["name"]), {"metadata": patch})
