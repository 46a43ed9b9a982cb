"""The structural schemas of Klever's kinds, read once from the CRDs in the package into nodes that are fast to walk."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from klever.api.kinds import Kind

__all__ = ["Node", "Rule", "Rules", "Schema", "load_schema"]

Schema = dict[str, Any]
"""An openAPIV3Schema."""

_TYPES: dict[str, frozenset[type]] = {
    "object": frozenset({dict}),
    "array": frozenset({list}),
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
}
_FORMATS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


@cache
def load_schema(kind: Kind) -> Schema | None:
    """Return the kind's openAPIV3Schema; None for kinds of Kubernetes itself."""
    if not kind.is_own or kind.message is None:
        return None
    package, _, _ = kind.message.__module__.rpartition(".")  # the CRD is next to the generated message
    crd = files(package) / "crd" / f"{kind.resource}.yaml"
    document = yaml.load(crd.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    version = next(v for v in document["spec"]["versions"] if v["name"] == kind.version)
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule. `path` is the field that a failure names, relative to its node."""

    text: str
    message: str
    path: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of one node. `together` is their conjunction: most objects are valid, and each evaluation is costly."""

    each: tuple[Rule, ...]
    together: str


class Node:
    """A schema: the constraints of a value, and nodes for its parts. Absent bounds are infinite."""

    has_defaults: bool
    """Here or below."""
    has_rules: bool
    """Here or below."""

    def __init__(self, schema: Schema) -> None:
        self.type: str = schema.get("type", "")
        self.int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
        self.types = frozenset({int, str}) if self.int_or_string else _TYPES.get(self.type)
        """Exact Python types of decoded JSON; None if any type is valid."""
        self.enum: list[Any] | None = schema.get("enum")
        self.nullable = bool(schema.get("nullable"))
        self._read_parts(schema)
        self._read_bounds(schema)
        self._read_rules(schema)

    def _read_parts(self, schema: Schema) -> None:
        self.required: list[str] = schema.get("required", [])
        self.properties = {name: Node(part) for name, part in schema.get("properties", {}).items()}
        self.others = Node(schema["additionalProperties"]) if schema.get("additionalProperties") else None
        self.keeps_unknown = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        self.items = Node(schema["items"]) if "items" in schema else None
        self.keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])
        parts = schema.get("properties", {}).items()
        self.defaults = {name: part["default"] for name, part in parts if "default" in part}
        self.with_defaults = {name: node for name, node in self.properties.items() if node.has_defaults}
        self.has_defaults = bool(self.defaults or self.with_defaults or (self.items and self.items.has_defaults))

    def _read_bounds(self, schema: Schema) -> None:
        self.min_items: int = schema.get("minItems", 0)
        self.max_items: float = schema.get("maxItems", math.inf)
        self.max_properties: float = schema.get("maxProperties", math.inf)
        self.min_length: int = schema.get("minLength", 0)
        self.max_length: float = schema.get("maxLength", math.inf)
        pattern: str = schema.get("pattern", "")
        self.pattern = _compiled(pattern) if pattern else None
        self.title: str = schema.get("title") or f"a match of {pattern}"
        self.is_time = schema.get("format") == "date-time"
        self.low: float | None = schema.get("minimum")
        self.high: float | None = schema.get("maximum")
        self.format = _FORMATS.get(schema.get("format", ""))

    def _read_rules(self, schema: Schema) -> None:
        rules = [
            Rule(r["rule"], r["message"], r.get("fieldPath", "")) for r in schema.get("x-kubernetes-validations", [])
        ]
        self.rules = _together(rules)
        self.rules_when_new = _together([rule for rule in rules if "oldSelf" not in rule.text])
        self.ruled = {name: node for name, node in self.properties.items() if node.has_rules}
        self.has_rules = bool(rules or self.ruled or (self.items and self.items.has_rules))


def _together(rules: list[Rule]) -> Rules | None:
    return Rules(tuple(rules), " && ".join(f"({rule.text})" for rule in rules)) if rules else None


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)
