"""Checks a value against a structural schema; every fault is named with its field path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from klever.api.codec import parse_time
from klever.errors import FieldViolation
from klever.store.validation.schemas import Schema

__all__ = ["BlockingFault", "check"]

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_FORMATS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_ARTICLES = {"object": "an object", "array": "a list", "string": "a string", "integer": "an integer"}


class BlockingFault(FieldViolation):
    """One after which rules are not evaluated (Kubernetes: hasBlockingErr; a bound or a pattern does not block)."""


def check(schema: Schema, value: Any, path: str) -> Iterator[FieldViolation]:
    """Yield what is wrong with `value` and everything below it."""
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield BlockingFault(path, f"must be an integer or a string, not {_show(value)}")
        elif isinstance(value, str):
            yield from _string(schema, value, path)
        return
    wanted = schema.get("type", "")
    if wanted and not _is(value, wanted):
        yield BlockingFault(path, f"must be {_ARTICLES.get(wanted, f'a {wanted}')}, not {_show(value)}")
        return
    if "enum" in schema and value not in schema["enum"]:
        known = ", ".join(str(e) for e in schema["enum"] if e != "")
        yield BlockingFault(path, f"{_show(value)} is none of {known}")
    if isinstance(value, dict):
        yield from _object(schema, value, path)
    elif isinstance(value, list):
        yield from _list(schema, value, path)
    elif isinstance(value, str):
        yield from _string(schema, value, path)
    elif not isinstance(value, bool):
        yield from _number(schema, value, path)


def _is(value: Any, wanted: str) -> bool:
    if isinstance(value, bool) and wanted != "boolean":
        return False
    return isinstance(value, _TYPES[wanted]) or (
        wanted == "integer" and isinstance(value, float) and value.is_integer()
    )


def _object(schema: Schema, value: dict[str, Any], path: str) -> Iterator[FieldViolation]:
    for name in schema.get("required", []):
        if name not in value:
            yield BlockingFault(_join(path, name), "is required")
    properties = schema.get("properties", {})
    for name, field in value.items():
        if name in properties:
            yield from check(properties[name], field, _join(path, name))


def _list(schema: Schema, value: list[Any], path: str) -> Iterator[FieldViolation]:
    if len(value) < schema.get("minItems", 0):
        yield FieldViolation(path, f"must have at least {schema['minItems']} items, not {len(value)}")
    if len(value) > schema.get("maxItems", len(value)):
        yield BlockingFault(path, f"must have at most {schema['maxItems']} items, not {len(value)}")
    for index, item in enumerate(value):
        yield from check(schema.get("items", {}), item, f"{path}[{index}]")
    yield from _duplicates(schema, value, path)


def _duplicates(schema: Schema, value: list[Any], path: str) -> Iterator[FieldViolation]:
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys:
        return
    seen: dict[tuple[Any, ...], int] = {}
    for index, item in enumerate(value):
        identity = tuple(repr(item.get(k)) for k in keys) if isinstance(item, dict) else (repr(item),)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:  # each is named once, however often it stands there
            named = ", ".join(f"{k} {item.get(k)!r}" for k in keys) if isinstance(item, dict) else repr(item)
            yield FieldViolation(f"{path}[{index}]", f"duplicate {named}")


def _string(schema: Schema, value: str, path: str) -> Iterator[FieldViolation]:
    if len(value) < schema.get("minLength", 0):
        yield FieldViolation(path, "must not be empty")
    if len(value) > schema.get("maxLength", len(value)):
        yield BlockingFault(path, f"has {len(value)} characters, more than {schema['maxLength']}")
    if "pattern" in schema and not _compiled(schema["pattern"]).search(value):
        yield FieldViolation(path, f"{_show(value)} does not match {schema['pattern']}")
    if schema.get("format") == "date-time":
        try:
            parse_time(value)
        except ValueError:
            yield BlockingFault(path, f"{_show(value)} is not a time as in 2026-01-31T12:00:00Z")


def _number(schema: Schema, value: float, path: str) -> Iterator[FieldViolation]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and not low <= value <= high:
        yield FieldViolation(path, f"{value} is not within {low}..{high}")
    elif low is not None and value < low:
        yield FieldViolation(path, f"{value} is less than {low}")
    elif high is not None and value > high:
        yield FieldViolation(path, f"{value} is more than {high}")
    bounds = _FORMATS.get(schema.get("format", ""))
    if bounds and not bounds[0] <= value <= bounds[1]:
        yield FieldViolation(path, f"{value} is not within {bounds[0]}..{bounds[1]}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
