"""Writes what became of an object into its status."""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Kind
from klever.errors import FailedPreconditionError, NotFoundError
from klever.store import Key, Store

__all__ = ["report"]


async def report(
    store: Store, kind: Kind, key: Key, uid: str, status: dict[str, Any], *, deleting: bool = False
) -> bool:
    """Patch the status of the object with this uid; returns whether it is still there.

    Raises `FailedPreconditionError` where it is there and has no status that can be written: an API server whose CRD
    lacks the subresource answers as if there were no object. That holds up no deletion: with `deleting` it is passed
    over.
    """
    try:
        await store.patch(kind, key, {"metadata": {"uid": uid}, "status": status}, subresource="status")
    except NotFoundError as error:
        if deleting:
            return True
        # With a limit it is the API server that is asked: a cache may not have heard of the end yet.
        page = await store.list(kind, key.namespace, fields=f"metadata.name={key.name}", limit=1)
        if not any(found["metadata"]["uid"] == uid for found in page.items):
            return False  # the event of that brings the key back
        raise FailedPreconditionError(
            f"the CRD {kind.resource} is outdated: it has no status subresource; install this Klever's with "
            f"`kubectl apply -f config/crd/`",
            reason="KIND_OUTDATED",
        ) from error
    return True
