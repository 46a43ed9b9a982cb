"""The fields of the ORMB document, and a check of their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from klever.errors import FieldViolation, InvalidError

__all__ = ["FIELDS", "normalize"]

_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
# A type is str, a range of int, a list [of type], a map {"*": type}, or an object {field: type} in Go's order.
_TENSOR: Final = {"name": str, "size": [_INT64], "dType": str, "opType": str, "values": [str]}
_NAMED_VALUE: Final = {"name": str, "value": str}
_GIT: Final = {"git": {"repository": str, "revision": str}}
_DETAILS: Final = {
    "formatVersion": str,
    "producer": str,
    "parameters": _INT64,
    "parameterBytes": _INT64,
    "memoryBytes": _INT64,
    "classes": [str],
    "languageModel": {"architecture": str, "quantization": str, "contextLength": _INT64, "chatTemplate": str},
    "warnings": [str],
    "featureNames": [str],
}
"""Fields that only Klever has. The original ormb ignores them."""
FIELDS: Final[Mapping[str, Any]] = {
    "author": str,
    "created": str,
    "description": str,
    "tags": [str],
    "labels": {"*": str},
    "format": str,
    "gpuType": str,
    "framework": str,
    "metrics": {"set": [_NAMED_VALUE]},
    "hyperParameters": [_NAMED_VALUE],
    "signature": {"inputs": [_TENSOR], "outputs": [_TENSOR], "layers": {"*": _INT32}, "details": _DETAILS},
    "training": _GIT,
    "dataset": _GIT,
    "directoryStructure": [str],
}
_SCALAR: Final[tuple[str, list[int]]] = ("size", [])  # a tensor of rank 0; an absent size is an unknown rank
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def normalize(document: Mapping[str, Any], *, fold: bool = False) -> dict[str, Any]:
    """Return `document` with its fields in Go's order, unknown ones last, and empty ones left out.

    `fold` is for YAML from a user, with scalars read as text: names match in any case, as in Go, numbers are parsed,
    and an unknown field is an error. Raises `InvalidError` with a violation for the first wrong field.
    """
    normal: dict[str, Any] = _normal(document, FIELDS, "", fold)
    created = normal.get("created", "")
    if created and not _is_rfc3339(created):
        raise _violation("created", f"invalid time {created!r}: must be RFC 3339, such as 2024-05-01T12:00:00Z")
    return normal


def _normal(value: Any, kind: Any, path: str, fold: bool) -> Any:
    if value is None or (fold and value == "" and kind is not str):
        return None
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise _violation(path, "must be a list")
        return [_normal_item(item, kind[0], f"{path}[{i}]", fold) for i, item in enumerate(value)]
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise _violation(path, "must be an object")
        return _normal_object(value, kind, path, fold)
    return _normal_scalar(value, kind, path, fold)


def _normal_item(value: Any, kind: Any, path: str, fold: bool) -> Any:
    item = _normal(value, kind, path, fold)
    if item is None:
        raise _violation(path, "must not be null")
    return item


def _normal_object(value: Mapping[str, Any], kind: Mapping[str, Any], path: str, fold: bool) -> dict[str, Any]:
    prefix = f"{path}." if path else ""
    known = _folded(value, kind, prefix) if fold and "*" not in kind else value
    if "*" in kind:
        if not all(map(_is_text, known)):
            raise _violation(path, "a name must not contain a lone surrogate")
        return {name: _normal(known[name], kind["*"], prefix + name, fold) for name in sorted(known)}
    ordered = [name for name in kind if name in known] + [name for name in known if name not in kind]
    normal = {
        name: _normal(known[name], kind[name], prefix + name, fold) if name in kind else known[name] for name in ordered
    }
    return {name: item for name, item in normal.items() if item not in (None, "", [], {}) or (name, item) == _SCALAR}


def _folded(value: Mapping[str, Any], kind: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return `value` under the names of `kind`. A name must not occur twice, in two spellings."""
    names = {name.casefold(): name for name in kind}
    known: dict[str, Any] = {}
    for written, item in value.items():
        name = names.get(written.casefold())
        if name is None:
            raise _violation(prefix + written, f"unknown field: must be one of {', '.join(kind)}")
        if name in known:
            raise _violation(prefix + written, f"duplicate of {name}: remove one of them")
        known[name] = item
    return known


def _normal_scalar(value: Any, kind: type[str] | range, path: str, fold: bool) -> Any:
    if isinstance(kind, range):
        return _normal_number(value, kind, path, fold)
    if not isinstance(value, str):
        raise _violation(path, "must be text")
    if not _is_text(value):
        raise _violation(path, "must not contain a lone surrogate")
    return value


def _normal_number(value: Any, within: range, path: str, fold: bool) -> int:
    if fold and isinstance(value, str):
        try:
            value = int(value)
        except ValueError as error:
            raise _violation(path, f"invalid number {value[:80]!r}: must be a whole number") from error
    if not isinstance(value, int) or isinstance(value, bool):
        raise _violation(path, "must be a whole number")
    if value not in within:
        raise _violation(path, f"must be between {within[0]} and {within[-1]}")
    return value


def _is_text(value: str) -> bool:
    """Return whether text contains a lone surrogate, which JSON can escape and UTF-8 cannot encode."""
    return value.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_rfc3339(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def _violation(path: str, description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation(path, description),), reason="CONFIG_INVALID")
