"""Merges a change into an object: JSON merge patch, and the declarative merge of `apply`."""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Kind, Object

__all__ = ["Applied", "applied_by", "declare", "difference", "merge_patch"]

Applied = dict[str, list[str]]
"""The merged metadata that the last apply set: field -> keys, sorted."""

_KEPT = ("apiVersion", "kind", "metadata")


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the target after a JSON merge patch (RFC 7386). Neither argument is modified."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def difference(old: Object, new: Object) -> Object:
    """Return the merge patch that makes `new` of `old`."""
    patch: Object = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            if part := difference(before, value):
                patch[name] = part
        elif value != before or name not in old:
            patch[name] = value
    return patch


def applied_by(obj: Object) -> Applied:
    """Return the labels, annotations, finalizers and owners that an applied object names."""
    metadata = obj["metadata"]
    keys = {
        "labels": metadata.get("labels", {}),
        "annotations": metadata.get("annotations", {}),
        "finalizers": metadata.get("finalizers", []),
        "ownerReferences": [reference.get("uid", "") for reference in metadata.get("ownerReferences", [])],
    }
    return {field: sorted(named) for field, named in keys.items() if named}


def declare(kind: Kind, old: Object, given: Object, applied: Applied) -> Object:
    """Return the result of applying `given` to `old`, after an earlier apply that named `applied`.

    Everything except metadata and status is replaced by `given`. Labels, annotations, finalizers and owner references
    merge: entries that the earlier apply named and this one does not are removed, entries of other writers stay.
    """
    status = ("status",) if kind.has_status else ()
    new = {field: old[field] for field in (*_KEPT, *status) if field in old}
    new |= {field: value for field, value in given.items() if field not in (*_KEPT, *status)}
    before, wanted = old["metadata"], given["metadata"]
    new["metadata"] = before | {
        "labels": _maps(before, wanted, "labels", applied),
        "annotations": _maps(before, wanted, "annotations", applied),
        "finalizers": _finalizers(before, wanted, applied),
        "ownerReferences": _owners(before, wanted, applied),
    }
    return new


def _maps(before: Object, wanted: Object, field: str, applied: Applied) -> dict[str, str]:
    dropped = set(applied.get(field, ()))
    kept = {key: value for key, value in before.get(field, {}).items() if key not in dropped}
    return {**kept, **wanted.get(field, {})}


def _finalizers(before: Object, wanted: Object, applied: Applied) -> list[str]:
    dropped = set(applied.get("finalizers", ())) - set(wanted.get("finalizers", ()))
    kept = [name for name in before.get("finalizers", ()) if name not in dropped]
    return kept + [name for name in wanted.get("finalizers", ()) if name not in kept]


def _owners(before: Object, wanted: Object, applied: Applied) -> list[Object]:
    given = {reference.get("uid", ""): reference for reference in wanted.get("ownerReferences", ())}
    dropped = set(applied.get("ownerReferences", ())) - given.keys()
    kept = {owner["uid"]: owner for owner in before.get("ownerReferences", ()) if owner["uid"] not in dropped}
    return list({**kept, **given}.values())
