"""Metadata as in Kubernetes: which fields users may write, and which only the store writes.

The rules are those of k8s.io/apimachinery `pkg/api/validation` and k8s.io/apiserver `pkg/registry/rest`. All functions
change objects that the caller owns, in place.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from klever.api.kinds import NAMESPACE, Kind, Object
from klever.api.text import format_time
from klever.errors import ConflictError, FieldViolation, InvalidError

__all__ = [
    "LABEL_VALUE",
    "PHASE_ACTIVE",
    "PHASE_TERMINATING",
    "begin",
    "carry_over",
    "check_envelope",
    "check_preconditions",
    "deleting",
    "mark_deleted",
    "normalize",
    "qualified_name",
    "violations",
]

PHASE_ACTIVE = "Active"
PHASE_TERMINATING = "Terminating"

LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_NAME_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_MAX_SUBDOMAIN = 253
_MAX_ANNOTATIONS = 256 * 1024

_STORED = ("name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp")
_numbers = random.Random()  # noqa: S311 - uids are no secrets
"""Seeded by the system once, because asking the system for each uid takes longer than the rest of `begin`."""
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes': no vowels, so that no words appear


def deleting(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def qualified_name(key: str) -> bool:
    """Whether it is a name with an optional DNS prefix, as in labels, annotations and finalizers."""
    prefix, slash, name = key.rpartition("/")
    return (not slash or _subdomain(prefix)) and _NAME_PART.fullmatch(name) is not None


def check_envelope(kind: Kind, obj: Object) -> None:
    """Fill in apiVersion, kind and metadata. Raises `InvalidError` if they belong to another kind."""
    for field, value in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        if obj.setdefault(field, value) != value:
            raise InvalidError(violations=(FieldViolation(field, f"must be {value!r}, not {obj[field]!r}"),))
    normalize(obj)


def normalize(obj: Object) -> None:
    """Drop empty and unknown fields of the metadata, and duplicate owners.

    Raises `InvalidError` if a field has the wrong type.
    """
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidError(violations=(FieldViolation("metadata", "must be an object"),))
    kept, wrong = {}, []
    for field, value in metadata.items():
        if value is None or field not in _FIELDS:
            continue
        wanted, right = _FIELDS[field]
        if not right(value):
            wrong.append(FieldViolation(f"metadata.{field}", f"must be {wanted}"))
        elif value:
            kept[field] = value
    if wrong:
        raise InvalidError(violations=tuple(wrong))
    if "ownerReferences" in kept:
        references = kept["ownerReferences"]
        kept["ownerReferences"] = [r for place, r in enumerate(references) if r not in references[:place]]
    obj["metadata"] = kept


def begin(kind: Kind, obj: Object, now: datetime) -> None:
    """Set a new object's metadata: name, uid, times, generation. Drop its status if its kind has one."""
    metadata = obj["metadata"]
    if metadata.pop("resourceVersion", ""):
        raise InvalidError(violations=(FieldViolation("metadata.resourceVersion", "must not be set on a new object"),))
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        metadata.pop(field, None)
    if metadata.get("generateName") and "name" not in metadata:
        metadata["name"] = metadata["generateName"][:58] + "".join(_numbers.choice(_ALPHABET) for _ in range(5))
    metadata["uid"] = _new_uid()
    metadata["creationTimestamp"] = format_time(now)
    if kind.has_status:
        obj.pop("status", None)
        metadata["generation"] = 1
    _namespace_defaults(kind, obj)


def _new_uid() -> str:
    """Return a random UUID (RFC 9562, version 4)."""
    digits = f"{_numbers.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def carry_over(kind: Kind, old: Object, new: Object) -> None:
    """Copy the metadata that no write may change, and increase the generation if the spec changed."""
    before, metadata = old["metadata"], new["metadata"]
    for field in ("name", "namespace"):
        if metadata.get(field, "") != before.get(field, ""):
            raise InvalidError(violations=(FieldViolation(f"metadata.{field}", "cannot be changed"),))
    for field in (*_STORED, "generateName", "deletionGracePeriodSeconds", "resourceVersion"):
        metadata.pop(field, None)
        if field in before:
            metadata[field] = before[field]
    _namespace_defaults(kind, new)
    if kind.has_status and _content(new) != _content(old):
        metadata["generation"] = before["generation"] + 1


def mark_deleted(kind: Kind, obj: Object, now: datetime) -> None:
    """Set the deletion timestamp of an object that still has finalizers (or content, for a namespace)."""
    metadata = obj["metadata"]
    metadata["deletionTimestamp"] = format_time(now)
    metadata["deletionGracePeriodSeconds"] = 0
    if "generation" in metadata:
        metadata["generation"] += 1
    if kind == NAMESPACE:
        obj["status"] = {**obj.get("status", {}), "phase": PHASE_TERMINATING}


def check_preconditions(what: str, metadata: Any, old: Object) -> None:
    """Raise `ConflictError` if the metadata has a `uid` or `resourceVersion` that differs from the object's."""
    if not isinstance(metadata, dict):
        return
    for field in ("uid", "resourceVersion"):
        wanted, found = metadata.get(field), old["metadata"][field]
        if wanted and wanted != found and (field, wanted) != ("resourceVersion", "0"):
            raise ConflictError(f"{what} has changed: {field} is {found}, not {wanted}; read it and try again")


def violations(kind: Kind, obj: Object, old: Object | None = None) -> Iterator[FieldViolation]:
    """Yield what is wrong with the metadata of an object that would replace `old`."""
    metadata = obj["metadata"]
    yield from _names(kind, metadata)
    yield from _labels(metadata)
    yield from _finalizers(metadata, old["metadata"] if old else {})
    yield from _owners(metadata)


def _names(kind: Kind, metadata: Object) -> Iterator[FieldViolation]:
    name = metadata.get("name", "")
    if not name:
        yield FieldViolation("metadata.name", "name or generateName is required")
    elif kind == NAMESPACE and not _DNS_LABEL.fullmatch(name):
        yield FieldViolation(
            "metadata.name",
            f"{name!r} must be a DNS-1123 label (at most 63 of a-z, 0-9 and '-', alphanumeric at both ends)",
        )
    elif not _subdomain(name):
        yield FieldViolation(
            "metadata.name",
            f"{name!r} must be a DNS-1123 subdomain (at most 253 of a-z, 0-9, '-' and '.', alphanumeric at both ends)",
        )
    if kind.namespaced and not metadata.get("namespace"):
        yield FieldViolation("metadata.namespace", "is required")
    elif not kind.namespaced and metadata.get("namespace"):
        yield FieldViolation("metadata.namespace", f"must not be set: {kind.kind} is a cluster-scoped kind")


def _labels(metadata: Object) -> Iterator[FieldViolation]:
    for key, value in metadata.get("labels", {}).items():
        if not qualified_name(key):
            yield FieldViolation("metadata.labels", f"invalid label key {key!r}: must be NAME or DNS-PREFIX/NAME")
        if not LABEL_VALUE.fullmatch(value):
            yield FieldViolation(
                "metadata.labels",
                f"invalid value {value!r} of {key!r}: at most 63 of A-Z, a-z, 0-9 and '-_.', alphanumeric at both ends",
            )
    annotations = metadata.get("annotations", {})
    for key in annotations:
        if not qualified_name(key.lower()):
            yield FieldViolation(
                "metadata.annotations", f"invalid annotation key {key!r}: must be NAME or DNS-PREFIX/NAME"
            )
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        yield FieldViolation("metadata.annotations", f"must have at most {_MAX_ANNOTATIONS} bytes in total")


def _finalizers(metadata: Object, before: Object) -> Iterator[FieldViolation]:
    finalizers = metadata.get("finalizers", [])
    for name in finalizers:
        if not qualified_name(name):
            yield FieldViolation("metadata.finalizers", f"invalid finalizer {name!r}: must be NAME or DNS-PREFIX/NAME")
    added = [name for name in finalizers if name not in before.get("finalizers", [])]
    if added and "deletionTimestamp" in before:
        yield FieldViolation("metadata.finalizers", f"{added[0]!r} cannot be added: the object is being deleted")


def _owners(metadata: Object) -> Iterator[FieldViolation]:
    references = metadata.get("ownerReferences", [])
    for reference in references:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not isinstance(reference.get(field), str) or not reference[field]:
                yield FieldViolation(f"metadata.ownerReferences.{field}", "must not be empty")
    if sum(reference.get("controller") is True for reference in references) > 1:
        yield FieldViolation("metadata.ownerReferences", "only one reference can have controller set to true")


def _namespace_defaults(kind: Kind, obj: Object) -> None:
    if kind == NAMESPACE:
        metadata = obj["metadata"]
        if metadata.get("name"):
            metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
        obj["status"] = {"phase": PHASE_ACTIVE, **obj.get("status", {})}


def _content(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}


def _subdomain(name: str) -> bool:
    return len(name) <= _MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(name) is not None


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _string_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a string", _string),
    "generateName": ("a string", _string),
    "namespace": ("a string", _string),
    "uid": ("a string", _string),
    "resourceVersion": ("a string", _string),
    "generation": ("an integer", _integer),
    "creationTimestamp": ("a string", _string),
    "deletionTimestamp": ("a string", _string),
    "deletionGracePeriodSeconds": ("an integer", _integer),
    "labels": ("an object of strings", _string_map),
    "annotations": ("an object of strings", _string_map),
    "finalizers": ("a list of strings", _strings),
    "ownerReferences": ("a list of objects", _objects),
}
