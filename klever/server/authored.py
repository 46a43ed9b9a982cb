"""Objects that record the author of their spec."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from klever.api.kinds import Object
from klever.controllers.serving.history import AUTHOR
from klever.server.calls import CALLER
from klever.server.objects import M_co, Objects
from klever.store import Key

__all__ = ["AuthoredObjects"]


class AuthoredObjects(Objects[M_co]):
    """Records the caller of each RPC that writes the spec in an annotation. Requests cannot set that annotation."""

    async def create(self, message: Message, namespace: str, *, request_id: str = "", dry_run: bool = False) -> bytes:
        return await super().create(_signed(message), namespace, request_id=request_id, dry_run=dry_run)

    async def apply(self, message: Message, namespace: str, name: str, *, dry_run: bool = False) -> bytes:
        return await super().apply(_signed(message), namespace, name, dry_run=dry_run)

    async def patched(self, key: Key, patch: dict[str, Any], *, dry_run: bool = False) -> Object:
        metadata = patch.get("metadata") or {}
        annotations = metadata.get("annotations", {})
        if annotations is not None:  # None removes them all
            others = {name: value for name, value in annotations.items() if name != AUTHOR}
            author = {AUTHOR: CALLER.get()} if "spec" in patch else {}
            patch = {**patch, "metadata": {**metadata, "annotations": {**others, **author}}}
        return await super().patched(key, patch, dry_run=dry_run)


def _signed(message: Any) -> Message:
    signed: Any = type(message)()
    signed.CopyFrom(message)
    signed.metadata.annotations[AUTHOR] = CALLER.get()
    written: Message = signed
    return written
