"""The order of a list: fields, each ascending or descending."""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from klever.api.filters.fields import child, is_time
from klever.errors import FieldViolation, InvalidError

__all__ = ["Order", "parse_order"]

_MOST_FIELDS: Final = 4
_DEFAULTS: Final[dict[int, Any]] = {FieldDescriptor.CPPTYPE_STRING: "", FieldDescriptor.CPPTYPE_BOOL: False}


@dataclass(frozen=True, slots=True)
class _Field:
    names: tuple[str, ...]
    json_names: tuple[str, ...]
    descending: bool
    default: Any
    is_time: bool


@total_ordering
@dataclass(frozen=True, slots=True)
class _Descending:
    value: Any

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)


@dataclass(frozen=True, slots=True)
class Order:
    """`text` is as it was asked for, without needless spaces."""

    text: str
    fields: tuple[_Field, ...]

    def values_of_object(self, obj: dict[str, Any]) -> list[Any]:
        """Return what an object, as Kubernetes JSON, is sorted by."""
        return [_in_object(field, obj) for field in self.fields]

    def values_of_message(self, message: Any) -> list[Any]:
        """Return what a message is sorted by."""
        return [_in_message(field, message) for field in self.fields]

    def key(self, values: list[Any]) -> list[Any]:
        """Return a key for sorting of such values, with others after them."""
        directions = [field.descending for field in self.fields] + [False] * (len(values) - len(self.fields))
        return [_Descending(v) if down else v for v, down in zip(values, directions, strict=True)]


def parse_order(text: str, message: Any, default: str) -> Order:
    """Return the order `metadata.name desc, spec.model`; `default` if the text is empty. Raises `InvalidError`."""
    terms = [term.split() for term in (text or default).split(",")]
    if len(terms) > _MOST_FIELDS:
        raise _invalid(f"names {len(terms)} fields; the most is {_MOST_FIELDS}")
    fields = tuple(_field(term, message) for term in terms)
    said = ", ".join(f"{'.'.join(f.names)}{' desc' if f.descending else ''}" for f in fields)
    return Order(said, fields)


def _field(term: list[str], message: Descriptor) -> _Field:
    if not term or len(term) > 2 or (len(term) == 2 and term[1].lower() not in ("asc", "desc")):
        raise _invalid(f"{' '.join(term)!r} must be a field, followed by nothing, asc or desc")
    inner: Any = message
    path = list[FieldDescriptor]()
    for name in term[0].split("."):
        field = child(inner, name) if inner is not None else None
        if field is None or field.is_repeated:
            raise _invalid(f"{term[0]!r} is not a field by which this list can be sorted")
        path.append(field)
        inner = None if is_time(field) else field.message_type
    last = path[-1]
    if inner is not None:
        raise _invalid(f"{term[0]!r} has fields of its own: name one of them")
    return _Field(
        tuple(f.name for f in path),
        tuple(f.json_name for f in path),
        len(term) == 2 and term[1].lower() == "desc",
        "" if is_time(last) else _DEFAULTS.get(last.cpp_type, 0),
        is_time(last),
    )


def _in_object(field: _Field, obj: Any) -> Any:
    for name in field.json_names:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return field.default if obj is None else obj


def _in_message(field: _Field, message: Any) -> Any:
    for name in field.names[:-1]:
        message = getattr(message, name)
    value = getattr(message, field.names[-1])
    return value.ToJsonString() if field.is_time else value


def _invalid(description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation("order_by", description),))
