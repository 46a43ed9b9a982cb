"""OpenAPI 3 of the REST paths, from the descriptor set: https://spec.openapis.org/oas/v3.0.3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2

PACKAGE = ".klever.v1alpha1."
STATUS = ".google.rpc.Status"
Field = descriptor_pb2.FieldDescriptorProto
LARGE = (Field.TYPE_INT64, Field.TYPE_UINT64, Field.TYPE_SINT64, Field.TYPE_FIXED64, Field.TYPE_SFIXED64)
SCALARS: dict[int, dict[str, Any]] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BYTES: {"type": "string", "format": "byte"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    **{kind: {"type": "string", "format": "int64"} for kind in LARGE},
}
WELL_KNOWN: dict[str, dict[str, Any]] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string"},
    ".google.protobuf.FieldMask": {"type": "string", "description": "Paths, joined by commas."},
    ".google.protobuf.Struct": {"type": "object"},
    ".google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
}


def openapi(descriptor_set: bytes) -> str:
    """Return the document as JSON."""
    return json.dumps(_Document(descriptor_set).document(), indent=1, ensure_ascii=False) + "\n"


class _Document:
    def __init__(self, content: bytes) -> None:
        self._files = descriptor_pb2.FileDescriptorSet.FromString(content).file
        self._messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self._enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
        self._comments: dict[str, str] = {}
        self._schemas: dict[str, Any] = {}
        for file in self._files:
            comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
            for index, message in enumerate(file.message_type):
                self._read(f".{file.package}", message, (4, index), comments)

    def _read(self, scope: str, message: Any, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> None:
        name = f"{scope}.{message.name}"
        self._messages[name] = message
        self._comments[name] = _text(comments.get(path, ""))
        for index, field in enumerate(message.field):
            self._comments[f"{name}.{field.name}"] = _text(comments.get((*path, 2, index), ""))
        for enum in message.enum_type:
            self._enums[f"{name}.{enum.name}"] = enum
        for index, nested in enumerate(message.nested_type):
            self._read(name, nested, (*path, 3, index), comments)

    def document(self) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for method, path, verb, operation in self._operations():
            if verb in paths.setdefault(path, {}):
                raise ValueError(f"{method} and another method have {verb} {path}")
            paths[path][verb] = operation
        self._reference(STATUS)
        return {
            "openapi": "3.0.3",
            "info": {"title": "Klever", "version": "v1alpha1"},
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }

    def _operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        for file in self._files:
            comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
            for index, service in enumerate(file.service):
                for number, method in enumerate(service.method):
                    rule = method.options.Extensions[annotations_pb2.http]
                    comment = _text(comments.get((6, index, 2, number), ""))
                    for count, binding in enumerate((rule, *rule.additional_bindings)):
                        verb = binding.WhichOneof("pattern")
                        if verb:
                            suffix = f"_{count}" if count else ""
                            name = f"{service.name}_{method.name}{suffix}"
                            operation = self._operation(service.name, method, binding, comment)
                            yield method.name, getattr(binding, verb), verb, {"operationId": name, **operation}

    def _operation(self, tag: str, method: Any, binding: Any, comment: str) -> dict[str, Any]:
        path = getattr(binding, binding.WhichOneof("pattern"))
        request = self._messages[method.input_type]
        in_path = set(re.findall(r"{(\w+)}", path))
        parameters = [
            {"name": field.name if field.name in in_path else field.json_name,
             "in": "path" if field.name in in_path else "query",
             **({"required": True} if field.name in in_path else {}),
             "description": self._comments[f"{method.input_type}.{field.name}"],
             "schema": self._schema(field)}
            for field in request.field
            if field.name in in_path or binding.body not in ("*", field.name)
        ]  # fmt: skip
        body = {}
        if binding.body:
            schema = (
                self._reference(method.input_type)
                if binding.body == "*"
                else next(self._schema(field) for field in request.field if field.name == binding.body)
            )
            body = {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
        many = " One line of JSON for each message of the stream." if method.server_streaming else ""
        answer = {"application/json": {"schema": self._reference(method.output_type)}}
        error = {"application/json": {"schema": self._reference(STATUS)}}
        return {
            "tags": [tag],
            "description": comment + many,
            "parameters": parameters,
            **body,
            "responses": {
                "200": {"description": "The answer.", "content": answer},
                "default": {"description": "An error.", "content": error},
            },
        }

    def _reference(self, name: str) -> dict[str, Any]:
        short = name.removeprefix(PACKAGE).removeprefix(".")
        if short not in self._schemas:
            self._schemas[short] = {}  # it may refer to itself
            self._schemas[short] = self._object(name)
        return {"$ref": f"#/components/schemas/{short}"}

    def _object(self, name: str) -> dict[str, Any]:
        message = self._messages[name]
        properties = {}
        for field in message.field:
            schema, comment = self._schema(field), self._comments.get(f"{name}.{field.name}", "")
            properties[field.json_name] = (
                {"allOf": [schema], "description": comment}
                if "$ref" in schema
                else schema | ({"description": comment} if comment else {})
            )
        required = [field.json_name for field in message.field if _is_required(field)]
        return {
            "type": "object",
            "description": self._comments[name],
            "properties": properties,
            **({"required": required} if required else {}),
        }

    def _schema(self, field: Any) -> dict[str, Any]:
        entry = self._messages.get(field.type_name)
        if entry is not None and entry.options.map_entry:
            return {"type": "object", "additionalProperties": self._one(entry.field[1])}
        one = self._one(field)
        return {"type": "array", "items": one} if field.label == Field.LABEL_REPEATED else one

    def _one(self, field: Any) -> dict[str, Any]:
        if field.type == Field.TYPE_ENUM:
            return {"type": "string", "enum": [value.name for value in self._enums[field.type_name].value]}
        if field.type != Field.TYPE_MESSAGE:
            return dict(SCALARS[field.type])
        known = WELL_KNOWN.get(field.type_name)
        return dict(known) if known else self._reference(field.type_name)


def _is_required(field: Any) -> bool:
    behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviors


def _text(comment: str) -> str:
    return " ".join(comment.split())
