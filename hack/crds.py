"""CustomResourceDefinitions from the descriptor set: structural schemas with the options of schema.proto.

Descriptions are the protos' comments. What is generated is what both stores validate by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml
from google.protobuf import descriptor_pb2

from klever.api.environment import PLATFORM_PATTERN, RESERVED_PATTERN
from klever.v1alpha1 import schema_pb2

GROUP = "kleveross.io"
VERSION = "v1alpha1"
PACKAGE = ".klever.v1alpha1."

Field = descriptor_pb2.FieldDescriptorProto
SCALARS: dict[int, dict[str, Any]] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_INT64: {"type": "integer", "format": "int64"},
    Field.TYPE_DOUBLE: {"type": "number"},
}
WELL_KNOWN: dict[str, dict[str, Any]] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Struct": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}
METADATA = f"{PACKAGE}ObjectMeta"
BOUNDS = {
    "pattern": "pattern",
    "title": "title",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "max_properties": "maxProperties",
}


class Messages:
    """Every message of the descriptor set with its comments."""

    def __init__(self, content: bytes) -> None:
        self.messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self._comments: dict[tuple[str, ...], str] = {}
        for file in descriptor_pb2.FileDescriptorSet.FromString(content).file:
            if f".{file.package}." == PACKAGE:
                self._read(file)

    def _read(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        comments = {tuple(loc.path): loc.leading_comments for loc in file.source_code_info.location}
        for index, message in enumerate(file.message_type):
            self.messages[PACKAGE + message.name] = message
            self.messages |= {f"{PACKAGE}{message.name}.{nested.name}": nested for nested in message.nested_type}
            self._comments[(message.name,)] = comments.get((4, index), "")
            for number, field in enumerate(message.field):
                self._comments[message.name, field.name] = comments.get((4, index, 2, number), "")

    def comment(self, *name: str) -> str:
        return " ".join(self._comments.get(name, "").split())

    def map_entry(self, field: Field) -> descriptor_pb2.DescriptorProto | None:
        """Return the type of a map's entries; None for a field that is not a map."""
        entry = self.messages.get(field.type_name)
        return entry if entry is not None and entry.options.map_entry else None

    def kinds(self) -> Iterator[tuple[descriptor_pb2.DescriptorProto, schema_pb2.MessageSchema]]:
        for message in self.messages.values():
            options = message.options.Extensions[schema_pb2.message_schema]
            if options.HasField("resource"):
                yield message, options


def crds(descriptor_set: bytes) -> dict[str, str]:
    """Return the YAML of each kind's CRD by file name."""
    messages = Messages(descriptor_set)
    return {
        f"{o.resource.plural}.{GROUP}.yaml": yaml.safe_dump(
            crd(messages, m, o), sort_keys=False, width=120, allow_unicode=True
        )
        for m, o in messages.kinds()
    }


def crd(
    messages: Messages, message: descriptor_pb2.DescriptorProto, options: schema_pb2.MessageSchema
) -> dict[str, Any]:
    resource = options.resource
    names: dict[str, Any] = {
        "kind": message.name,
        "listKind": f"{message.name}List",
        "plural": resource.plural,
        "singular": resource.singular,
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": message_schema(messages, message)},
        **subresources(message, resource),
        "additionalPrinterColumns": [column(c) for c in resource.columns],
        "selectableFields": [{"jsonPath": f".{path}"} for path in resource.selectable_fields],
    }
    scope = "Cluster" if resource.cluster_scoped else "Namespaced"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }


def column(source: schema_pb2.Column) -> dict[str, Any]:
    result: dict[str, Any] = {"name": source.name, "type": source.type, "jsonPath": source.json_path}
    return result | ({"priority": source.priority} if source.priority else {})


def subresources(message: descriptor_pb2.DescriptorProto, resource: schema_pb2.Resource) -> dict[str, Any]:
    if not any(field.name == "status" for field in message.field):
        return {}
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return {"subresources": {"status": {}} | ({"scale": scale} if resource.scalable else {})}


def message_schema(messages: Messages, message: descriptor_pb2.DescriptorProto) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    comment = messages.comment(message.name)
    if comment:
        schema["description"] = comment
    schema["properties"] = {f.json_name: field_schema(messages, message, f) for f in message.field}
    required = [f.json_name for f in message.field if read_options(f).required]
    if required:
        schema["required"] = required
    rules = message.options.Extensions[schema_pb2.message_schema].rules
    if rules:
        schema["x-kubernetes-validations"] = [rule(r) for r in rules]
    return schema


def read_options(field: Field) -> schema_pb2.FieldSchema:
    return field.options.Extensions[schema_pb2.schema]


def field_schema(messages: Messages, message: descriptor_pb2.DescriptorProto, field: Field) -> dict[str, Any]:
    options = read_options(field)
    if field.type_name == METADATA:
        return metadata_schema(options)
    entry = messages.map_entry(field)
    if entry is not None:
        return map_schema(messages, entry, options) | {"description": messages.comment(message.name, field.name)}
    schema = value_schema(messages, field, options)
    if field.type == Field.TYPE_INT32:  # the format alone binds nobody
        schema |= {"minimum": -(2**31), "maximum": 2**31 - 1}
    if field.label == Field.LABEL_REPEATED:
        if options.HasField("item_max_length"):
            schema["maxLength"] = options.item_max_length
        schema = {"type": "array", "items": schema}
    schema |= bounds(options)
    comment = messages.comment(message.name, field.name)
    if comment:
        schema["description"] = comment
    if options.rules:
        schema["x-kubernetes-validations"] = [
            *schema.get("x-kubernetes-validations", []),
            *(rule(r) for r in options.rules),
        ]
    return schema


def map_schema(
    messages: Messages, entry: descriptor_pb2.DescriptorProto, options: schema_pb2.FieldSchema
) -> dict[str, Any]:
    """A map's own bound is the number of its entries; the others are of its values."""
    values = value_schema(messages, entry.field[1], options) | bounds(options)
    most = values.pop("maxProperties", None)
    return {"type": "object", "additionalProperties": values} | ({"maxProperties": most} if most else {})


def metadata_schema(options: schema_pb2.FieldSchema) -> dict[str, Any]:
    """All that a CRD may say of metadata: constraints of the name."""
    name = bounds(options)
    return {"type": "object"} | ({"properties": {"name": {"type": "string", **name}}} if name else {})


def value_schema(messages: Messages, field: Field, options: schema_pb2.FieldSchema) -> dict[str, Any]:
    if options.int_or_string:
        return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    if field.type != Field.TYPE_MESSAGE:
        return dict(SCALARS[field.type])
    if field.type_name in WELL_KNOWN:
        return dict(WELL_KNOWN[field.type_name])
    return message_schema(messages, messages.messages[field.type_name])


def bounds(options: schema_pb2.FieldSchema) -> dict[str, Any]:
    given = {field.name: value for field, value in options.ListFields()}
    found = {keyword: given[name] for name, keyword in BOUNDS.items() if name in given}
    found |= {name: int(given[name]) for name in ("minimum", "maximum") if name in given}
    if options.enum:
        found["enum"] = list(options.enum)
    if options.default_json:
        found["default"] = json.loads(options.default_json)
    if options.list_map_keys:
        found |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(options.list_map_keys)}
    return found


def rule(source: schema_pb2.Rule) -> dict[str, Any]:
    result = {"rule": expression(source.rule), "message": source.message}
    if source.message_expression:
        result["messageExpression"] = source.message_expression
    if source.field_path:
        result["fieldPath"] = source.field_path
    return result


def expression(source: str) -> str:
    """Return a rule's CEL with the regular expressions that it names."""
    return source.replace("$PLATFORM_PATTERN", PLATFORM_PATTERN).replace("$RESERVED_PATTERN", RESERVED_PATTERN)
