"""The fields that a filter or an order names, in the messages that are listed."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["child", "is_map", "is_time", "scalars"]

_TIME: Final = Timestamp.DESCRIPTOR.full_name


def child(message: Descriptor, name: str) -> FieldDescriptor | None:
    """Return a field of a message by its name in the proto or in JSON; None if it has no such field."""
    found: Any = message.fields_by_name.get(name)
    return found or next((field for field in message.fields if field.json_name == name), None)


def is_map(field: FieldDescriptor) -> bool:
    entry: Any = field.message_type
    return bool(field.is_repeated and entry is not None and entry.GetOptions().map_entry)


def is_time(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name == _TIME


def scalars(message: Descriptor) -> list[str]:
    """Return the names of a message's fields, for an error that tells what can be named."""
    return [field.name for field in message.fields]
