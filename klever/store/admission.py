"""What a store asks before it keeps an object."""

from __future__ import annotations

from typing import Literal, Protocol

from klever.api.kinds import Kind, Object

__all__ = ["Admission", "Subresource"]

Subresource = Literal["", "status"]


class Admission(Protocol):
    """Decides about everything of an object but its metadata, which is the store's own matter."""

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: Subresource) -> Object:
        """Return the object to keep: unknown fields pruned, defaults filled in.

        `new` is whole (metadata, spec and status), and is not changed; `old` is what it replaces, None for a new
        object. `subresource` says which part the writer may change.
        Raises `InvalidError` with a violation for each field that is wrong.
        """
        ...
