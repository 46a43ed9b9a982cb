"""What an apply would make of an object, and whether two states of one differ. Nothing is written."""

from __future__ import annotations

from typing import Any

from klever.api.codec import from_object, to_object
from klever.api.kinds import Object
from klever.cli.commands.client import Api
from klever.cli.commands.documents import Declared
from klever.cli.commands.stored import StoredKind
from klever.errors import NotFoundError
from klever.store.validation import SchemaAdmission

__all__ = ["AUTHOR", "declared_part", "find", "outcome", "preview"]

AUTHOR = "kleveross.io/author"
"""Annotation that the server writes: the caller who wrote the spec last."""


def find(api: Api, kind: StoredKind, namespace: str, name: str) -> Any:
    """Return an object, None if there is none."""
    try:
        return kind.get(api, namespace, name)
    except NotFoundError:
        return None


def preview(declared: Declared, before: Any) -> Object:
    """Return the part that users declare, as an apply would make it: with defaults, labels and annotations merged.

    `before` is the object as it is, None if there is none. Raises `InvalidError` with a violation for each wrong field.
    """
    given = to_object(declared.message)
    given.pop("status", None)
    old = to_object(before) if before is not None else None
    admitted = SchemaAdmission().admit(declared.kind.kind, given, old, "")
    metadata = dict(admitted["metadata"])
    for field in ("labels", "annotations"):
        metadata[field] = {**(old or {}).get("metadata", {}).get(field, {}), **metadata.get(field, {})}
    message: Any = declared.kind.kind.message
    return declared_part(to_object(from_object(admitted | {"metadata": metadata}, message)))


def declared_part(obj: Object) -> Object:
    """Return what users declare of an object: its name, labels, annotations and spec."""
    metadata = obj["metadata"]
    kept = {field: metadata[field] for field in ("namespace", "name") if metadata.get(field)}
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != AUTHOR}
    for field, values in (("labels", metadata.get("labels", {})), ("annotations", annotations)):
        if values:
            kept[field] = dict(sorted(values.items()))
    rest = {field: value for field, value in obj.items() if field not in ("metadata", "status")}
    return {"apiVersion": rest.pop("apiVersion", ""), "kind": rest.pop("kind", ""), "metadata": kept, **rest}


def outcome(before: Any, after: Object) -> str:
    """Return what became of an object: created, configured or unchanged. `after` is its declared part."""
    if before is None:
        return "created"
    return "unchanged" if declared_part(to_object(before)) == after else "configured"
