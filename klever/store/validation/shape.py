"""Pruning and defaults (Kubernetes: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting})."""

from __future__ import annotations

import copy
from typing import Any

from klever.store.validation.schemas import HAS_DEFAULTS, Schema

__all__ = ["fill_defaults", "prune"]


def prune(schema: Schema, value: Any) -> None:
    """Remove, in place, fields that the schema does not know, and nulls where a field cannot be null."""
    if isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        properties = schema.get("properties", {})
        other = schema.get("additionalProperties")
        for name in list(value):
            if (name not in properties and other is None and properties) or (
                value[name] is None and not properties.get(name, {}).get("nullable")
            ):
                del value[name]
            else:
                prune(properties.get(name) or other or {}, value[name])
    elif isinstance(value, list):
        for item in value:
            prune(schema.get("items", {}), item)


def fill_defaults(schema: Schema, value: Any) -> None:
    """Fill in, in place, the defaults of absent fields of objects that are there."""
    if not schema.get(HAS_DEFAULTS, True):
        return
    if isinstance(value, dict):
        for name, field in schema.get("properties", {}).items():
            if name not in value and "default" in field:
                value[name] = copy.deepcopy(field["default"])
            if name in value:
                fill_defaults(field, value[name])
    elif isinstance(value, list):
        for item in value:
            fill_defaults(schema.get("items", {}), item)
