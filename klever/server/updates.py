"""Applies field masks: the fields of an object that an Update replaces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor

from klever.api.kinds import Object
from klever.errors import FieldViolation, InvalidError
from klever.v1alpha1 import schema_pb2

__all__ = ["keep_unknown", "select"]

_METADATA: Final = ("metadata.labels", "metadata.annotations")


def select(obj: Object, paths: Iterable[str], message: Descriptor) -> Object:
    """Return the fields of an object that a field mask names, as a merge patch.

    A field that the object lacks becomes null, which removes it.
    Raise `InvalidError` for a path that an update cannot change.
    """
    patch: Object = {}
    named = tuple(paths)
    for path in named:
        *parents, last = _json_names(path, message)
        if any(path.startswith(f"{other}.") for other in named):
            continue  # another path includes it
        source, target = obj, patch
        for name in parents:
            source, target = source.get(name, {}), target.setdefault(name, {})
        target[last] = source.get(last)
    return patch


def _json_names(path: str, message: Descriptor) -> list[str]:
    """Return the JSON names along a path, which is in the spec, the labels or the annotations."""
    names: list[str] = []
    inner: Any = message
    for name in path.split("."):
        field = inner.fields_by_name.get(name) if inner is not None else None
        if field is None or (names or [name])[0] not in ("spec", "metadata"):
            break
        names.append(field.json_name)
        inner = None if field.is_repeated else field.message_type
    else:
        if names[0] == "spec" or path in _METADATA:
            return names
    expected = f"expected {', '.join(_METADATA)}, spec, or a field of spec"
    raise InvalidError(violations=(FieldViolation("update_mask", f"cannot update {path!r}: {expected}"),))


def keep_unknown(new: Object, old: Object, message: Descriptor) -> None:
    """Restore the unknown fields of list items.

    A merge patch replaces a whole list, and a newer version of Klever may have added fields to its items.
    """
    for field in message.fields:
        inner: Any = field.message_type
        given, stored = new.get(field.json_name), old.get(field.json_name)
        if inner is None or not given or not stored:
            continue
        keys = field.GetOptions().Extensions[schema_pb2.schema].list_map_keys
        if keys:
            _keep_in_items(given, stored, tuple(keys), inner)
        elif isinstance(given, dict) and not field.is_repeated:
            keep_unknown(given, stored, inner)


def _keep_in_items(given: list[Object], stored: list[Object], keys: tuple[str, ...], message: Descriptor) -> None:
    known = {field.json_name for field in message.fields}
    by_key = {tuple(item.get(key) for key in keys): item for item in stored}
    for item in given:
        before = by_key.get(tuple(item.get(key) for key in keys), {})
        item |= {name: value for name, value in before.items() if name not in known}
        keep_unknown(item, before, message)
