"""Pruning and defaults (Kubernetes: apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting})."""

from __future__ import annotations

import copy
from typing import Any

from klever.store.validation.schemas import Node

__all__ = ["shaped"]

_ANYTHING = Node({})
_NESTED = (dict, list)


def shaped(node: Node, value: Any) -> Any:
    """Return a value without the fields that its schema does not know, and with the defaults of absent fields.

    A null is dropped if its field cannot be null. The value is not modified, and the result shares no mutable part with
    it: objects and lists are new.
    """
    if isinstance(value, dict):
        return copy.deepcopy(value) if node.keeps_unknown and not node.properties else _shaped_object(node, value)
    if isinstance(value, list):
        return [shaped(node.items or _ANYTHING, item) for item in value]
    return value


def _shaped_object(node: Node, value: dict[str, Any]) -> dict[str, Any]:
    properties = node.properties
    result = {}
    for name, field in value.items():
        part = properties.get(name)
        if (part is None or field is None) and not node.keeps_unknown and not _stays(node, part, field):
            continue
        if type(field) in _NESTED:
            result[name] = shaped(part or node.others or _ANYTHING, field)
        else:
            result[name] = field
    for name, default in node.defaults.items():
        if name not in result:
            result[name] = shaped(properties[name], default)
    return result


def _stays(node: Node, part: Node | None, field: Any) -> bool:
    if field is None:
        return part is not None and part.nullable
    return part is not None or node.others is not None or not node.properties
