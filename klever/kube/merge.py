"""A strategic merge of a part of a pod: maps are merged, and lists whose items have a key.

Source: the patchMergeKey tags of k8s.io/api/core/v1 (`types.go`). Directives (`$patch`) are not supported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from klever.errors import InvalidError

__all__ = ["merge"]

_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "env": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""The key of the items, by the name of the list. Other lists are replaced."""


def merge(original: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the original with the patch. A null changes nothing. Raises `InvalidError` for an item without its key."""
    merged = dict(original)
    for name, value in patch.items():
        if isinstance(value, Mapping):
            merged[name] = merge(merged.get(name) or {}, value)
        elif name in _KEYS and isinstance(value, list):
            merged[name] = _merge_items(merged.get(name) or (), value, name)
        elif value is not None:
            merged[name] = value
    return merged


def _merge_items(original: Sequence[Any], patch: Sequence[Any], name: str) -> list[Any]:
    key = _KEYS[name]
    items = {item[key]: item for item in original}
    for item in patch:
        if not isinstance(item, Mapping) or key not in item:
            raise InvalidError(f"{name}: each item must be an object with {key}")
        items[item[key]] = merge(items.get(item[key], {}), item)
    return list(items.values())
