"""Admission by schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from klever.api.kinds import Kind, Object
from klever.errors import FieldViolation, InvalidError
from klever.store.admission import Subresource
from klever.store.validation.check import BlockingFault, check
from klever.store.validation.rules import check_rules
from klever.store.validation.schemas import Schema, schema_of
from klever.store.validation.shape import fill_defaults, prune

__all__ = ["SchemaAdmission"]

_ENVELOPE = {"apiVersion", "kind", "metadata"}


class SchemaAdmission:
    """Admits an object of ours by its CRD; objects of other kinds pass as they are."""

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: Subresource) -> Object:
        schema = schema_of(kind)
        if schema is None:
            return new
        part = _without(schema, "spec" if subresource == "status" else "status")
        body = {name: value for name, value in new.items() if name not in _ENVELOPE}
        prune(schema, body)
        fill_defaults(schema, body)
        admitted = {name: value for name, value in new.items() if name in _ENVELOPE} | body
        violations = tuple(_faults(part, admitted, old))
        if violations:
            raise InvalidError(violations=violations)
        return admitted


def _faults(schema: Schema, new: Object, old: Object | None) -> Iterator[FieldViolation]:
    """Rules are evaluated only where they can be: they may rely on types, and on what their cost was reckoned by."""
    structural = tuple(check(schema, new, ""))
    yield from structural
    if not any(isinstance(fault, BlockingFault) for fault in structural):
        yield from check_rules(schema, new, old, "")


def _without(schema: Schema, part: str) -> Schema:
    """Return the schema without the part that the writer does not change."""
    properties: dict[str, Any] = {k: v for k, v in schema["properties"].items() if k != part}
    required = [name for name in schema.get("required", []) if name in properties]
    return schema | {"properties": properties, "required": required}
