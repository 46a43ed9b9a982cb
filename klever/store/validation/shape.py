"""Pruning and defaults (Kubernetes: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting})."""

from __future__ import annotations

import copy
from typing import Any

from klever.store.validation.schemas import Node

__all__ = ["fill_defaults", "prune"]

_ANYTHING = Node({})
_NESTED = (dict, list)


def prune(node: Node, value: Any) -> None:
    """Remove, in place, fields that the schema does not know, and nulls where a field cannot be null."""
    if isinstance(value, dict) and not node.keeps_unknown:
        doubtful = [name for name, field in value.items() if field is None or name not in node.properties]
        for name in doubtful:
            if not _stays(node, name, value[name]):
                del value[name]
        for name, field in value.items():
            if type(field) in _NESTED:
                prune(node.properties.get(name) or node.others or _ANYTHING, field)
    elif isinstance(value, list):
        for item in value:
            prune(node.items or _ANYTHING, item)


def _stays(node: Node, name: str, field: Any) -> bool:
    known = node.properties.get(name)
    if field is None:
        return known is not None and known.nullable
    return known is not None or node.others is not None or not node.properties


def fill_defaults(node: Node, value: Any) -> None:
    """Fill in, in place, the defaults of absent fields of objects that are there."""
    if not node.has_defaults:
        return
    if isinstance(value, dict):
        for name, default in node.defaults.items():
            if name not in value:
                value[name] = copy.deepcopy(default)
        for name, part in node.with_defaults.items():
            if name in value:
                fill_defaults(part, value[name])
    elif isinstance(value, list) and node.items:
        for item in value:
            fill_defaults(node.items, item)
