"""Writes the status of an object."""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Kind
from klever.errors import FailedPreconditionError, NotFoundError
from klever.store import Key, Store

__all__ = ["report"]


async def report(
    store: Store, kind: Kind, key: Key, uid: str, status: dict[str, Any], *, deleting: bool = False
) -> bool:
    """Patch the status of the object with this uid. Return whether the object still exists.

    An API server whose CRD lacks the status subresource answers as if the object did not exist. That raises
    `FailedPreconditionError`, except with `deleting`, so that it does not block a deletion.
    """
    try:
        await store.patch(kind, key, {"metadata": {"uid": uid}, "status": status}, subresource="status")
    except NotFoundError as error:
        if deleting:
            return True
        # A list with a limit bypasses the cache, which may not know of the deletion yet.
        page = await store.list(kind, key.namespace, fields=f"metadata.name={key.name}", limit=1)
        if not any(found["metadata"]["uid"] == uid for found in page.items):
            return False  # its event enqueues the key again
        raise FailedPreconditionError(
            f"the CRD {kind.resource} is outdated: it has no status subresource; install this Klever's with "
            f"`kubectl apply -f config/crd/`",
            reason="KIND_OUTDATED",
        ) from error
    return True
