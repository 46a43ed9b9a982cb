"""Whose fields are whose, where we apply (Kubernetes: server-side apply, managedFields).

Fields that our create and patch wrote are ours as much as those that we applied: an apply that no longer names them
takes them away, as it does in every store. Labels and annotations merge, and stay with the call that gave them.
"""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Object
from klever.kube import MANAGER

__all__ = ["take_over"]


def take_over(obj: Object) -> dict[str, Any] | None:
    """Return the merge patch that gives our apply what our other writes own in the spec; None if that is nothing."""
    entries: list[dict[str, Any]] = obj["metadata"].get("managedFields", [])
    written = [e for e in entries if _ours(e, "Update") and "f:spec" in e["fieldsV1"]]
    if not written:
        return None
    applied = next((e for e in entries if _ours(e, "Apply")), written[0] | {"operation": "Apply", "fieldsV1": {}})
    spec: dict[str, Any] = applied["fieldsV1"].get("f:spec", {})
    for entry in written:
        spec = _union(spec, entry["fieldsV1"].pop("f:spec"))
    rest = [e for e in entries if e is not applied and e["fieldsV1"]]
    mine = applied | {"fieldsV1": applied["fieldsV1"] | {"f:spec": spec}}
    return {
        "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"], "managedFields": [*rest, mine]},
    }


def _ours(entry: dict[str, Any], operation: str) -> bool:
    return entry["manager"] == MANAGER and entry["operation"] == operation and not entry.get("subresource")


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _union(merged[key], value) if key in merged else value
    return merged
