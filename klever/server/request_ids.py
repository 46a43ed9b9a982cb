"""Request ids of creates. The object records the id, so that a retry does not create a second object."""

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
    """Record the request id in an object to create. A generated name derives from the id."""
    if len(request_id) > _MOST:
        raise violation("request_id", f"must have at most {_MOST} characters, not {len(request_id)}")
    metadata = obj["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), _ANNOTATION: request_id}
    if not metadata.get("name"):
        suffix = hashlib.sha256(request_id.encode()).hexdigest()[:_SUFFIX]
        metadata["name"] = f"{metadata.get('generateName', '')}{suffix}"


def is_made_by(obj: Object, request_id: str) -> bool:
    """Return whether the request with this id created the object."""
    return bool(obj["metadata"].get("annotations", {}).get(_ANNOTATION) == request_id)
