"""Ownership of fields in server-side apply (Kubernetes: managedFields).

An apply owns the whole spec, as in every store: it removes omitted fields, whichever tool wrote them. So it
first takes over the fields of the spec from all other managers. Those of the scale subresource stay with autoscalers
and `kubectl scale`, which change the number of replicas beside the file.
Labels and annotations merge, and belong to the call that set them.

Fields without an owner are taken over too. An API server drops all managedFields when a write contains fields that its
schema cannot read, and gives them to the manager `before-first-apply` at the next apply.
"""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Object
from klever.kube import MANAGER

__all__ = ["claim", "is_orphan", "last_writer", "scaled_fields", "take_over"]


def is_orphan(obj: Object) -> bool:
    """Whether the object has lost its record of owners."""
    return "spec" in obj and not _entries(obj)


def claim(obj: Object) -> Object:
    """Return the object to apply so that our apply owns the current spec."""
    metadata = obj["metadata"]
    kept = {field: metadata[field] for field in ("namespace", "name", "uid", "resourceVersion") if field in metadata}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept, "spec": obj["spec"]}


def take_over(obj: Object) -> dict[str, Any] | None:
    """Return the merge patch that moves all fields of the spec to our apply; None if it owns them all."""
    entries = _entries(obj)
    others = [e for e in entries if not _applied(e) and not e.get("subresource") and "f:spec" in e["fieldsV1"]]
    if not others:
        return None
    blank = others[0] | {"manager": MANAGER, "operation": "Apply", "fieldsV1": {}}
    applied = next((e for e in entries if _applied(e)), blank)
    spec: dict[str, Any] = applied["fieldsV1"].get("f:spec", {})
    for entry in others:
        spec = _union(spec, entry["fieldsV1"].pop("f:spec"))
    rest = [e for e in entries if e is not applied and e["fieldsV1"]]
    mine = applied | {"fieldsV1": applied["fieldsV1"] | {"f:spec": spec}}
    return {
        "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"], "managedFields": [*rest, mine]},
    }


def scaled_fields(obj: Object) -> dict[str, Any]:
    """Return the fields of the spec that the scale subresource set: an apply that does not name them keeps them."""
    scaled = [e["fieldsV1"].get("f:spec", {}) for e in _entries(obj) if e.get("subresource") == "scale"]
    names = {name.removeprefix("f:") for fields in scaled for name in fields}
    return {name: value for name, value in obj["spec"].items() if name in names}


def last_writer(obj: Object) -> str:
    """Return the manager that last wrote the spec. Empty if that was Klever, or if it is unknown.

    Autoscalers and `kubectl scale` are not authors: they change only the number of replicas.
    """
    entries = [e for e in _entries(obj) if "f:spec" in e.get("fieldsV1", {}) and not e.get("subresource")]
    last = max(entries, key=lambda e: (e.get("time", ""), e["manager"] != MANAGER), default=None)
    return str(last["manager"]) if last is not None and last["manager"] != MANAGER else ""


def _entries(obj: Object) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = obj["metadata"].get("managedFields", [])
    return entries


def _applied(entry: dict[str, Any]) -> bool:
    return (entry["manager"], entry["operation"]) == (MANAGER, "Apply") and not entry.get("subresource")


def _union(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _union(merged[key], value) if key in merged else value
    return merged
