"""Ids of creates, so that a retry makes one object: the object remembers the request that made it."""

from __future__ import annotations

import hashlib
from typing import Final

from klever.api.kinds import Object
from klever.server.requests import violation

__all__ = ["identify", "is_made_by"]

_ANNOTATION: Final = "kleveross.io/request-id"
_MOST: Final = 128
_SUFFIX: Final = 10


def identify(obj: Object, request_id: str) -> None:
    """Note the request in an object that is to be created. A name that the store would complete is made of its id."""
    if len(request_id) > _MOST:
        raise violation("request_id", f"has {len(request_id)} characters; the most is {_MOST}")
    metadata = obj["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), _ANNOTATION: request_id}
    if not metadata.get("name"):
        suffix = hashlib.sha256(request_id.encode()).hexdigest()[:_SUFFIX]
        metadata["name"] = f"{metadata.get('generateName', '')}{suffix}"


def is_made_by(obj: Object, request_id: str) -> bool:
    """Return whether an object was made by the request with this id."""
    return bool(obj["metadata"].get("annotations", {}).get(_ANNOTATION) == request_id)
