"""Comparisons of a field with a value, by the type of the field."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from klever.api.filters.fields import child, is_map, is_time, scalars
from klever.api.filters.grammar import Restriction
from klever.api.filters.tokens import invalid
from klever.api.text import parse_time

__all__ = ["Check", "comparison"]

Check = Callable[[Any], bool]

_NUMBERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: int, FieldDescriptor.CPPTYPE_INT64: int, FieldDescriptor.CPPTYPE_UINT32: int,
    FieldDescriptor.CPPTYPE_UINT64: int, FieldDescriptor.CPPTYPE_DOUBLE: float, FieldDescriptor.CPPTYPE_FLOAT: float,
}  # fmt: skip
_ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "!=": operator.eq, ":": operator.eq,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
"""`!=` is the opposite of `=`, which the caller negates: no element of a list is equal."""
_MOST_DIGITS: Final = 40


def comparison(restriction: Restriction, message: Descriptor) -> Check:
    """Return a test of messages. It holds if any of the values at the path does. Raises `InvalidError`."""
    values, last, key = _resolve(restriction, message)
    if restriction.operator == ":" and restriction.value == "*" and not restriction.is_quoted:
        return lambda obj: any(_is_present(value) for value in values(obj))
    if last is None:
        wanted = key
        return lambda obj: any(wanted == value for value in values(obj))
    check = _value_check(restriction, last)
    return lambda obj: any(check(value) for value in values(obj))


def _is_present(value: Any) -> bool:
    return value is not None and value not in ("", 0, False)


Values = Callable[[Any], Iterator[Any]]


def _resolve(restriction: Restriction, message: Descriptor) -> tuple[Values, FieldDescriptor | None, str]:
    """Return how to read the values at a path, and the field that they are of: None for the keys of a map."""
    steps = list[tuple[FieldDescriptor, str]]()
    names = list(restriction.path)
    inner: Any = message
    field: FieldDescriptor | None = None
    while names:
        name = names.pop(0)
        field = child(inner, name) if inner is not None else None
        if field is None:
            known = f"expected one of {', '.join(scalars(inner))}" if inner is not None else "it has no fields below it"
            raise invalid(f"{'.'.join(restriction.path)!r} is not a field: {known}", restriction.at)
        key = ""
        if is_map(field):
            if not names:
                return _reader([*steps, (field, "")]), None, restriction.value
            key = ".".join(names)
            names = []
            steps.append((field, key))
            return _reader(steps), _entry_value(field), ""
        steps.append((field, ""))
        inner = field.message_type if not is_time(field) else None
    if field is None:
        raise invalid("a field is missing", restriction.at)
    return _reader(steps), field, ""


def _entry_value(field: FieldDescriptor) -> FieldDescriptor:
    entry: Any = field.message_type
    value: FieldDescriptor = entry.fields_by_name["value"]
    return value


def _reader(steps: list[tuple[FieldDescriptor, str]]) -> Values:
    def read(obj: Any, depth: int = 0) -> Iterator[Any]:
        if depth == len(steps):
            yield obj
            return
        field, key = steps[depth]
        if is_map(field):
            entries = getattr(obj, field.name)
            if not key:
                yield from entries
            elif key in entries:
                yield entries[key]
        elif field.is_repeated:
            for item in getattr(obj, field.name):
                yield from read(item, depth + 1)
        elif not field.has_presence or obj.HasField(field.name):
            yield from read(getattr(obj, field.name), depth + 1)

    return read


def _value_check(restriction: Restriction, field: FieldDescriptor) -> Check:
    if is_time(field):
        return _time_check(restriction)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _text_check(restriction)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _equal(restriction, {"true": True, "false": False})
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _equal(restriction, {value.name: value.number for value in _enum(field).values})
    if field.cpp_type in _NUMBERS:
        return _ordered(restriction, _number(restriction, _NUMBERS[field.cpp_type]))
    raise invalid(f"{'.'.join(restriction.path)!r} has fields of its own: name one of them", restriction.at)


def _enum(field: FieldDescriptor) -> Any:
    return field.enum_type


def _ordered(restriction: Restriction, wanted: Any) -> Check:
    compare = _ORDERED[restriction.operator]
    return lambda value: compare(value, wanted)


def _equal(restriction: Restriction, known: dict[str, Any]) -> Check:
    wanted = known.get(restriction.value)
    if restriction.operator not in ("=", "!=", ":") or wanted is None:
        names = ", ".join(known)
        raise invalid(f"{'.'.join(restriction.path)} must be compared by = or != with one of {names}", restriction.at)
    return lambda value: value == wanted


def _number(restriction: Restriction, kind: type[int | float]) -> int | float:
    try:
        if len(restriction.value) <= _MOST_DIGITS:
            return kind(restriction.value)
    except ValueError:
        pass
    raise invalid(f"{'.'.join(restriction.path)} must be compared with a number", restriction.at)


def _time_check(restriction: Restriction) -> Check:
    try:
        wanted = parse_time(restriction.value).timestamp()
    except ValueError as error:
        message = f'{".".join(restriction.path)} must be compared with a time such as "2026-01-31T12:00:00Z"'
        raise invalid(message, restriction.at) from error
    compare = _ORDERED[restriction.operator]
    return lambda value: compare(value.seconds + value.nanos / 1e9, wanted)


def _text_check(restriction: Restriction) -> Check:
    """`:` means that the text contains the value; a `*` at either end of a value stands for any text."""
    wanted = restriction.value
    if restriction.operator == ":":
        return lambda value: wanted in value
    if restriction.operator in ("=", "!=") and "*" in (wanted[:1], wanted[-1:]):
        inner = wanted.removeprefix("*").removesuffix("*")
        if wanted.startswith("*") and (wanted.endswith("*") and len(wanted) > 1):
            return lambda value: inner in value
        return (
            (lambda value: value.endswith(inner)) if wanted.startswith("*") else lambda value: value.startswith(inner)
        )
    return _ordered(restriction, wanted)
