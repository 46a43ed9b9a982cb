"""What an apply would make of an object, and whether two states of one differ. Nothing is written."""

from __future__ import annotations

from typing import Any, Final

from klever.api.codec import to_object
from klever.api.kinds import Object
from klever.cli.commands.client import Api
from klever.cli.commands.documents import Declared
from klever.cli.commands.stored import StoredKind
from klever.errors import NotFoundError
from klever.store.validation import SchemaAdmission

__all__ = ["AUTHOR", "check", "declared_part", "find", "outcome", "preview"]

AUTHOR: Final = "kleveross.io/author"
"""Annotation that the server writes: the caller who wrote the spec last."""


def find(api: Api, kind: StoredKind, namespace: str, name: str) -> Any:
    """Return an object, None if there is none."""
    try:
        return kind.get(api, namespace, name)
    except NotFoundError:
        return None


def check(declared: Declared) -> None:
    """Raise `InvalidError` with a violation for each wrong field. Ask no server."""
    given = to_object(declared.message)
    given.pop("status", None)
    SchemaAdmission().admit(declared.kind.kind, given, None, "")


def preview(api: Api, declared: Declared) -> Object:
    """Return the declared part of the object as an apply would make it. Raises the error that an apply would."""
    namespace = declared.message.metadata.namespace or api.namespace
    return declared_part(to_object(declared.kind.apply(api, declared.message, namespace, dry_run=True)))


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
