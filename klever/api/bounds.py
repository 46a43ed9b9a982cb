"""Bounds of a request, checked on the wire before it is parsed.

An empty message in a list takes two bytes on the wire, and hundreds in memory.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, Final, NamedTuple

from google.protobuf.struct_pb2 import Struct

from klever.api.wire import Walk
from klever.errors import FieldViolation, InvalidError
from klever.v1alpha1 import schema_pb2

__all__ = ["check_bounds"]

_MOST_ITEMS: Final = 10_000
"""The most items of a list or map whose schema has no bound."""
_MOST_FIELDS: Final = 100_000
_MOST_STRUCT_BYTES: Final = 64 << 10
_STRUCT: Final = Struct.DESCRIPTOR.full_name


class _Field(NamedTuple):
    """The bounds of a field."""

    name: str
    most: int
    """The most items of a list or map; 0 for a single value."""
    message: Any
    """The descriptor of a nested message to check; None if its parser bounds it."""
    is_struct: bool


def check_bounds(content: bytes, message: Any) -> None:
    """Raise `InvalidError` that names a list with too many items, or a free-form field that is too large.

    `message` is the descriptor of the message in `content` (its stub declares one of two types).
    """
    _check(Walk(_MOST_FIELDS), memoryview(content), message, "")


def _check(walk: Walk, content: memoryview, message: Any, path: str) -> None:
    fields = _fields(message)
    counts: Counter[int] = Counter()
    for number, value in walk.fields(content):
        field = fields.get(number)
        if field is None:
            continue
        place = f"{path}.{field.name}" if path else field.name
        if field.most:
            counts[number] += 1
            if counts[number] > field.most:
                raise _violation(place, f"must have at most {field.most} items")
            place = f"{place}[{counts[number] - 1}]"
        if isinstance(value, int):
            continue
        if field.message is not None:
            _check(walk, value, field.message, place)
        elif field.is_struct and len(value) > _MOST_STRUCT_BYTES:
            raise _violation(place, f"must have at most {_MOST_STRUCT_BYTES} bytes, not {len(value)}")


def _violation(path: str, description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation(path, description),))


@cache
def _fields(message: Any) -> dict[int, _Field]:
    """Return the fields to check, by number."""
    return {field.number: found for field in message.fields if (found := _field(field, frozenset({message.full_name})))}


def _field(field: Any, above: frozenset[str]) -> _Field | None:
    inner: Any = field.message_type
    is_struct = inner is not None and inner.full_name == _STRUCT
    is_plain = inner is None or is_struct or inner.GetOptions().map_entry or not _has_bounds(inner, above)
    most = 0
    if field.is_repeated:
        most = field.GetOptions().Extensions[schema_pb2.schema].max_items or _MOST_ITEMS
    if most or is_struct or not is_plain:
        return _Field(field.json_name, most, None if is_plain else inner, is_struct)
    return None


def _has_bounds(message: Any, above: frozenset[str]) -> bool:
    if message.full_name in above:  # a recursive message: the parser bounds its depth
        return True
    return any(_field(field, above | {message.full_name}) for field in message.fields)
