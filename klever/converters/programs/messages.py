"""Makes protobuf messages from a short description, because no maintained package has caffe.proto and caffe2.proto."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["Schema", "messages"]

Schema = Mapping[str, Mapping[str, tuple[int, str]]]
"""Message -> field -> (number, type).

A type is `int32`, `float`, … or the name of another message; `*` means repeated, and `**` repeated and packed. Text
after `=` is the default, as in `float=0.75`.
"""
_NONE: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})
_FIELD: Final = descriptor_pb2.FieldDescriptorProto


def messages(package: str, schema: Schema, enums: Mapping[str, Sequence[str]] = _NONE) -> Mapping[str, Any]:
    """Return the classes of the messages by name. `enums` has the values of each enum, starting at 0."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, values in enums.items():
        # Values of enums in one scope must differ, so each enum gets its own scope.
        scope = file.message_type.add(name=f"{name}Scope")
        scope.enum_type.add(name=name).value.extend(
            descriptor_pb2.EnumValueDescriptorProto(name=value, number=number) for number, value in enumerate(values)
        )
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add(message.field.add(name=field, number=number), kind, package, enums)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in schema}


def _add(field: Any, kind: str, package: str, enums: Mapping[str, Sequence[str]]) -> None:
    kind, _, default = kind.partition("=")
    name = kind.rstrip("*")
    field.label = _FIELD.LABEL_REPEATED if kind.endswith("*") else _FIELD.LABEL_OPTIONAL
    if name in enums:
        field.type, field.type_name = _FIELD.TYPE_ENUM, f".{package}.{name}Scope.{name}"
    elif name[0].isupper():
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{name}"
    else:
        field.type = _FIELD.Type.Value(f"TYPE_{name.upper()}")
    if kind.endswith("**"):
        field.options.packed = True
    if default:
        field.default_value = default
