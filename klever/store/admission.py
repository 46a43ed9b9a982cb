"""The contract of admission, which a store consults before it keeps an object."""

from __future__ import annotations

from typing import Literal, Protocol

from klever.api.kinds import Kind, Object

__all__ = ["Admission", "Subresource"]

Subresource = Literal["", "status"]


class Admission(Protocol):
    """Decides about every part of an object except its metadata, which the store checks itself."""

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: Subresource) -> Object:
        """Return the object to keep: unknown fields pruned, defaults filled in.

        `new` is complete (metadata, spec and status) and is not modified. `old` is the object that it replaces, None
        for a new object. `subresource` says which part the writer may change. Raises `InvalidError` with a violation
        for each wrong field.
        """
        ...
