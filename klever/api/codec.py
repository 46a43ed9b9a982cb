"""Converts between messages and Kubernetes JSON, with one walk over descriptors in each direction.

Kubernetes JSON is not proto3 JSON: int64 are numbers, times have whole seconds, integral doubles inside a Struct (raw
pod fragments) are integers, and integer quantities become strings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC
from functools import cache, lru_cache, partial
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from klever.api.kinds import Object
from klever.api.text import format_time, parse_time
from klever.errors import FieldViolation, InvalidError
from klever.v1alpha1 import schema_pb2

__all__ = ["from_object", "to_object"]

M = TypeVar("M", bound=Message)

_EXACT: Final = 2**53
"""A double holds every integer up to this number. Larger ones stay doubles: validation reads integers of 64 bits."""
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_HUGE = 2**64
"""Greater than any number of a message. Python refuses to print numbers of thousands of digits."""
_PLAIN = {FieldDescriptor.CPPTYPE_STRING: str, FieldDescriptor.CPPTYPE_BOOL: bool}


class _Field(NamedTuple):
    """The properties of a field for the conversions, because reading its descriptor each time is slow."""

    name: str
    json_name: str
    is_repeated: bool
    message: Descriptor | None
    """The type of its values, if they are messages."""
    cpp_type: int
    int_or_string: bool
    plain: type | None
    """The Python type of its value, if only the type needs a check."""
    values: _Field | None
    """The field of the values, for a map."""
    to_json: Callable[[Any], Any] | None
    """Converts its value to JSON; None if the value already is JSON."""


def _described(field: FieldDescriptor, *, int_or_string: bool = False) -> _Field:
    """Return the properties of a field. The values of a map have the option of the map's field."""
    entry: Any = field.message_type
    is_map = field.is_repeated and entry is not None and entry.GetOptions().map_entry
    int_or_string = int_or_string or field.GetOptions().Extensions[schema_pb2.schema].int_or_string
    return _Field(
        field.name,
        field.json_name,
        field.is_repeated,
        entry,
        field.cpp_type,
        int_or_string,
        None if field.is_repeated else _PLAIN.get(field.cpp_type),
        _described(entry.fields_by_name["value"], int_or_string=int_or_string) if is_map else None,
        dict if is_map else _writer(field),
    )


def _writer(field: FieldDescriptor) -> Callable[[Any], Any] | None:
    message: Any = field.message_type
    if field.enum_type is not None:
        return partial(_enum_to_json, field.enum_type)
    if message is None:
        return list if field.is_repeated else None
    one = _WELL_KNOWN.get(message.full_name, to_object)
    return (lambda items: [one(item) for item in items]) if field.is_repeated else one


@cache
def _fields(message: Descriptor) -> dict[str, _Field]:
    """The fields of a message by their names in JSON."""
    return {field.json_name: _described(field) for field in message.fields}


@cache
def _numbered(message: Descriptor) -> dict[int, _Field]:
    """The fields of a message by their numbers."""
    fields = _fields(message)
    return {field.number: fields[field.json_name] for field in message.fields}


def to_object(message: Message) -> Object:
    """Return a message as Kubernetes JSON, without the fields that are not set."""
    fields = _numbered(message.DESCRIPTOR)
    obj: Object = {}
    for descriptor, value in message.ListFields():
        field = fields[descriptor.number]
        obj[field.json_name] = value if field.to_json is None else field.to_json(value)
    return obj


def from_object(obj: Object, message: type[M], *, strict: bool = False) -> M:
    """Read Kubernetes JSON into a message.

    A field that the message lacks is an error with `strict`. Without it, the field is ignored: a newer version or
    another tool may have written it. Raises `InvalidError` with a violation for each field of a wrong type.
    """
    reader = _Reader(strict=strict)
    descriptor: Any = message.DESCRIPTOR  # its stub declares one of two types
    made = reader.message(obj, descriptor, "")
    if reader.violations:
        raise InvalidError(violations=tuple(reader.violations))
    try:
        return message(**made)
    except UnicodeEncodeError as error:
        raise InvalidError(f"invalid text in the object: {error}") from error


def _time_to_json(value: Timestamp) -> str:
    try:
        return format_time(value.ToDatetime(UTC))
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"invalid time {value.seconds} s and {value.nanos} ns after 1970: {error}") from error


def _enum_to_json(enum: Any, value: int) -> str | int:
    known = enum.values_by_number.get(value)
    return value if known is None else str(known.name)


def _struct_to_json(value: Struct | ListValue | Value) -> Any:
    if isinstance(value, Struct):
        return {key: _struct_to_json(item) for key, item in value.fields.items()}
    if isinstance(value, ListValue):
        return [_struct_to_json(item) for item in value.values]
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    inner = getattr(value, kind)
    if isinstance(inner, Struct | ListValue):
        return _struct_to_json(inner)
    return int(inner) if kind == "number_value" and inner.is_integer() and abs(inner) <= _EXACT else inner


_WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    Timestamp.DESCRIPTOR.full_name: _time_to_json,
    **{message.DESCRIPTOR.full_name: _struct_to_json for message in (Struct, ListValue, Value)},
}


class _Reader:
    """Collects every violation instead of stopping at the first.

    It returns arguments for the constructor of the message, which makes the whole message in one step.
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.violations: list[FieldViolation] = []

    def message(self, obj: object, message: Descriptor, path: str) -> dict[str, Any]:
        if not isinstance(obj, dict):
            self._wrong(path, obj, "an object")
            return {}
        fields = _fields(message)
        made: dict[str, Any] = {}
        for name, value in obj.items():
            field = fields.get(name)
            if field is None:
                if self.strict:
                    self.violations.append(FieldViolation(_under(path, name), "unknown field"))
            elif type(value) is field.plain:
                made[field.name] = value
            elif value is not None and (read := self._field(field, value, _under(path, name))) is not None:
                made[field.name] = read
        return made

    def _field(self, field: _Field, value: object, path: str) -> object | None:
        if field.values is not None:
            return self._map(field.values, value, path)
        if field.is_repeated:
            return self._list(field, value, path)
        return self._value(field, value, path)

    def _map(self, values: _Field, value: object, path: str) -> dict[str, object] | None:
        if not isinstance(value, dict):
            self._wrong(path, value, "an object")
            return None
        read = {str(key): self._value(values, entry, f"{path}[{key}]") for key, entry in value.items()}
        return {key: entry for key, entry in read.items() if entry is not None}

    def _list(self, field: _Field, value: object, path: str) -> list[object] | None:
        if not isinstance(value, list):
            self._wrong(path, value, "a list")
            return None
        read = [self._value(field, entry, f"{path}[{index}]") for index, entry in enumerate(value)]
        return [entry for entry in read if entry is not None]

    def _value(self, field: _Field, value: object, path: str) -> object | None:
        if field.message is None:
            return self._scalar(field, value, path)
        if field.message is Timestamp.DESCRIPTOR:
            return self._timestamp(value, path)
        if field.message is Struct.DESCRIPTOR:
            return self._struct(value, path)
        return self.message(value, field.message, path)

    def _timestamp(self, value: object, path: str) -> dict[str, int] | None:
        try:
            return {"seconds": _seconds(str(value))}
        except ValueError:
            self.violations.append(
                FieldViolation(path, f"invalid time {value!r}: expected a time such as 2026-01-31T12:00:00Z")
            )
            return None

    def _struct(self, value: object, path: str) -> Struct | None:
        if not isinstance(value, dict):
            self._wrong(path, value, "an object")
            return None
        struct = Struct()
        try:
            struct.update(value)
        except (ValueError, TypeError, OverflowError) as error:
            self.violations.append(FieldViolation(path, f"invalid JSON: {error}"))
            return None
        return struct

    def _scalar(self, field: _Field, value: object, path: str) -> object | None:
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._string(field, value, path)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return self._checked(isinstance(value, bool), path, value, "true or false")
        if field.cpp_type in _INTEGERS:
            return self._integer(field, value, path)
        return self._checked(_is_int(value) or isinstance(value, float), path, value, "a number")

    def _string(self, field: _Field, value: object, path: str) -> object | None:
        if field.int_or_string and _is_int(value) and abs(value) < _HUGE:
            return str(value)
        return self._checked(isinstance(value, str), path, value, "a string")

    def _integer(self, field: _Field, value: object, path: str) -> object | None:
        low, high = _INTEGERS[field.cpp_type]
        if not _is_int(value):
            self._wrong(path, value, "an integer")
            return None
        if not low <= value <= high:
            self.violations.append(FieldViolation(path, f"must be between {low} and {high}, not {_describe(value)}"))
            return None
        return value

    def _checked(self, ok: bool, path: str, value: object, wanted: str) -> object | None:
        if not ok:
            self._wrong(path, value, wanted)
        return value if ok else None

    def _wrong(self, path: str, value: object, wanted: str) -> None:
        self.violations.append(FieldViolation(path, f"must be {wanted}, not {_describe(value)}"))


@lru_cache(maxsize=1024)
def _seconds(text: str) -> int:
    """Return a time as seconds since 1970. Cached, because many objects have the same time."""
    return math.floor(parse_time(text).timestamp())


def _under(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _describe(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "a huge number" if _is_int(value) and abs(value) >= _HUGE else repr(value)
