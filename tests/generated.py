"""Messages of any type, made of values that come close to what the API accepts."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

__all__ = ["generate"]

_TEXTS = (
    "", "", "a", "digits", "main", "canary", "default", "team", "-", "none", "team/digits", "team/digits:v1", "v1",
    "v1@sha256:" + "0" * 64, "sha256:" + "0" * 64, "sha256:", "ONNX", "CaffeModel", "NetDef", "x-user", "500m", "1Gi",
    "kleveross.io/v1alpha1", "Serving", "ModelJob", "Ready", "True", "RollingUpdate", "Recreate", "triton", "custom",
    "metadata.name", "metadata.creation_timestamp desc", "status.phase = Ready", "name", "create_time", "tag desc",
    "metadata.labels:team", "digits OR (NOT a)", "team=vision,!old", "a in (b", "1", "0", "99999999999999999999",
    "WyJuYW1lIiwgImEiLCAiYSJd", "AAAA", "%2f", "a%2Fb", "../..", "a/../b", "\n", "\u00e4", "\U0001f600", "\0", "'", '"',
    "\\", "(", "[a-z]{99}", "*", "a" * 300, "2026-01-31T12:00:00Z", "^a$",
)  # fmt: skip
_LIKELY: dict[str, tuple[Any, ...]] = {
    "name": ("digits", "main", "canary", "a"), "namespace": ("", "team"), "model": ("team/digits:v1", "digits"),
    "project": ("team",), "version": ("v1",), "tag": ("v2", "v3"), "page_token": ("",), "page_size": (0, 1, 2),
    "filter": ("", "", "digits", "a"), "order_by": ("",), "label_selector": ("", "team=vision"),
    "predictor": ("canary",),
    "replicas": (0, 1, 2), "traffic": (0, 50, 100), "percent": (0, 100), "format": ("ONNX",), "view": (0, 1, 2),
    "desired_tag": ("team/digits:v4",), "number": (0, 1), "expected_digest": ("",), "revision_history_limit": (3,),
    "uid": ("",), "resource_version": ("",), "request_id": ("", "r-1", "r-2"), "instance": ("",), "tail": (0, 2),
    "exact": ("me",), "value": ("a",), "type": ("",), "ttl_seconds_after_finished": (60,), "api_version": ("",),
    "active_deadline_seconds": (60,), "progress_deadline_seconds": (60,), "max_surge": (1,), "kind": ("",),
}  # fmt: skip
"""By the field's name: three of four values are these, so that some requests are good."""
_RARE = frozenset((
    "api_version", "kind", "finalizers", "owner_references", "generate_name", "generation", "creation_timestamp",
    "deletion_timestamp", "value_from", "init_container", "status", "runtime", "command", "probe_path", "matches",
    "strategy", "previous_traffic", "conversion", "env", "prefix", "regex", "present", "negate", "resources",
    "inspect_only",
))  # fmt: skip
_PATHS = (
    "spec",
    "metadata.labels",
    "metadata.annotations",
    "spec.predictors",
    "allow_code",
    "spec.cancel",
    "status",
    "x",
)
_INTEGERS = (0, 0, 1, 1, 2, 3, 20, 80, 100, 500, -1, 2**31 - 1, -(2**31))
_LARGE = (*_INTEGERS, 2**63 - 1, -(2**63))
_DOUBLES = (0.0, 1.0, -1.5, float("inf"), float("nan"), 1e300)
_MOST_DEPTH = 7

Field = FieldDescriptor
_SCALARS: dict[int, tuple[Any, ...]] = {
    Field.CPPTYPE_STRING: _TEXTS, Field.CPPTYPE_BOOL: (True, False), Field.CPPTYPE_INT32: _INTEGERS,
    Field.CPPTYPE_INT64: _LARGE, Field.CPPTYPE_UINT32: (0, 1, 2**32 - 1), Field.CPPTYPE_UINT64: (0, 2**64 - 1),
    Field.CPPTYPE_DOUBLE: _DOUBLES, Field.CPPTYPE_FLOAT: (0.0, 1.0),
}  # fmt: skip


def generate(chance: random.Random, descriptor: Descriptor, depth: int = 0) -> Any:
    """Return a message with about half of its fields, fewer where it is deep."""
    message: Any = GetMessageClass(descriptor)()
    if descriptor.full_name == "google.protobuf.FieldMask":
        message.paths.extend(chance.sample(_PATHS, chance.randint(0, 2)))
        return message
    for field in descriptor.fields:
        if depth < _MOST_DEPTH and chance.random() < (0.1 if field.name in _RARE else 0.85):
            _fill(chance, message, field, depth)
    return message


def _fill(chance: random.Random, message: Any, field: Any, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        entries = getattr(message, field.name)
        for _ in range(chance.randint(0, 2)):
            if value.message_type is None:
                entries[_value(chance, key)] = _value(chance, value)
            else:
                entries[_value(chance, key)].CopyFrom(generate(chance, value.message_type, depth + 1))
    elif field.is_repeated:
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            _append(chance, getattr(message, field.name), field, depth)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(generate(chance, field.message_type, depth + 1))
    else:
        setattr(message, field.name, _value(chance, field))


def _append(chance: random.Random, items: Any, field: Any, depth: int) -> None:
    if field.message_type is not None:
        items.append(generate(chance, field.message_type, depth + 1))
    else:
        items.append(_value(chance, field))


def _value(chance: random.Random, field: Any) -> Any:
    likely = _LIKELY.get(field.name, ())
    if likely and isinstance(likely[0], type(field.default_value)) and chance.random() < 0.75:
        return chance.choice(likely)
    if field.enum_type is not None:
        return chance.choice((*(value.number for value in field.enum_type.values), 77))
    if field.type == Field.TYPE_BYTES:
        return chance.randbytes(3)
    return chance.choice(_SCALARS[field.cpp_type])
