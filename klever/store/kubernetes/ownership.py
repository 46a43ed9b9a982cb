"""Ownership of fields in server-side apply (Kubernetes: managedFields).

Klever owns the fields that its create and patch wrote, as well as those that it applied: an apply that no longer names
them removes them, as in every store. Labels and annotations merge, and belong to the call that set them.

Klever also owns fields without an owner. An API server drops all managedFields when a write contains fields that its
schema cannot read, and gives them to the manager `before-first-apply` at the next apply.
"""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Object
from klever.kube import MANAGER

__all__ = ["claim", "is_orphan", "take_over"]

_NOBODY = "before-first-apply"


def is_orphan(obj: Object) -> bool:
    """Whether the object has lost its record of owners."""
    return "spec" in obj and not _entries(obj)


def claim(obj: Object) -> Object:
    """Return the object to apply so that our apply owns the current spec."""
    metadata = obj["metadata"]
    kept = {field: metadata[field] for field in ("namespace", "name", "uid", "resourceVersion") if field in metadata}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept, "spec": obj["spec"]}


def take_over(obj: Object) -> dict[str, Any] | None:
    """Return the merge patch that moves fields of the spec to our apply: those of our other writes and of no owner.

    None if there are no such fields.
    """
    entries = _entries(obj)
    written = [e for e in entries if _written(e) and "f:spec" in e["fieldsV1"]]
    if not written:
        return None
    blank = written[0] | {"manager": MANAGER, "operation": "Apply", "fieldsV1": {}}
    applied = next((e for e in entries if _applied(e)), blank)
    spec: dict[str, Any] = applied["fieldsV1"].get("f:spec", {})
    for entry in written:
        spec = _union(spec, entry["fieldsV1"].pop("f:spec"))
    rest = [e for e in entries if e is not applied and e["fieldsV1"]]
    mine = applied | {"fieldsV1": applied["fieldsV1"] | {"f:spec": spec}}
    return {
        "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"], "managedFields": [*rest, mine]},
    }


def _entries(obj: Object) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = obj["metadata"].get("managedFields", [])
    return entries


def _applied(entry: dict[str, Any]) -> bool:
    return (entry["manager"], entry["operation"]) == (MANAGER, "Apply") and not entry.get("subresource")


def _written(entry: dict[str, Any]) -> bool:
    ours = entry["manager"] in {MANAGER, _NOBODY} and entry["operation"] == "Update"
    return ours and not entry.get("subresource")


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _union(merged[key], value) if key in merged else value
    return merged
