"""Admission by schema."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from klever.api.kinds import Kind, Object
from klever.errors import FieldViolation, InvalidError
from klever.store.admission import Subresource
from klever.store.validation.check import BlockingFault, check
from klever.store.validation.rules import check_rules
from klever.store.validation.schemas import Node, Schema, load_schema
from klever.store.validation.shape import shaped

__all__ = ["SchemaAdmission"]

_ENVELOPE = ("apiVersion", "kind", "metadata")


class _Nodes(NamedTuple):
    """A kind's schema, whole and without the part that a writer does not change."""

    whole: Node
    without_status: Node
    without_spec: Node


class SchemaAdmission:
    """Admits an object by the CRD of its kind. Objects of kinds without a CRD pass unchanged."""

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: Subresource) -> Object:
        nodes = _nodes(kind)
        if nodes is None:
            return new
        body = {name: value for name, value in new.items() if name not in _ENVELOPE}
        shape: Object = shaped(nodes.whole, body)
        admitted = {name: new[name] for name in _ENVELOPE if name in new} | shape
        part = nodes.without_spec if subresource == "status" else nodes.without_status
        violations = _faults(part, admitted, old)
        if violations:
            raise InvalidError(violations=tuple(violations))
        return admitted


def _faults(node: Node, new: Object, old: Object | None) -> list[FieldViolation]:
    """Return the faults of an object. CEL rules run only on valid types and sizes, which they rely on."""
    faults = check(node, new, "")
    if not any(isinstance(fault, BlockingFault) for fault in faults):
        faults.extend(check_rules(node, new, old, ""))
    return faults


@cache
def _nodes(kind: Kind) -> _Nodes | None:
    schema = load_schema(kind)
    if schema is None:
        return None
    return _Nodes(Node(schema), Node(_without(schema, "status")), Node(_without(schema, "spec")))


def _without(schema: Schema, part: str) -> Schema:
    properties = {name: field for name, field in schema["properties"].items() if name != part}
    required = [name for name in schema.get("required", []) if name in properties]
    return schema | {"properties": properties, "required": required}
