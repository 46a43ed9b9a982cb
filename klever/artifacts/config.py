"""The ORMB model config: the metadata of a model, as JSON in an artifact (kleveross/ormb, docs/spec-v1alpha1.md).

A `ModelConfig` holds the document it came from. What we do not know stays in it, and a changed copy differs in the
changed field alone: an artifact of a newer tool survives our rewriting it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from klever.errors import FieldViolation, InvalidError
from klever.formats import Signature, Tensor
from klever.oci.encoding import decode_object, encode_json

__all__ = ["MAX_CONFIG", "GitSource", "ModelConfig", "known_fields", "normalize"]

MAX_CONFIG: Final = 4 << 20
"""Bytes of a config that are read at the most. The limit `config_bytes` of a platform is lower."""

_MAX_VALUES: Final = 100_000
"""JSON values of a config. An empty value takes 3 bytes of JSON and 100 bytes of memory."""

_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
# What stands where: str, a range of int, a list [of], a map {"*": to}, an object {field: type} as Go orders it.
_TENSOR: Final = {"name": str, "size": [_INT64], "dType": str, "opType": str, "values": [str]}
_NAMED_VALUE: Final = {"name": str, "value": str}
_GIT: Final = {"git": {"repository": str, "revision": str}}
_FIELDS: Final[Mapping[str, Any]] = {
    "author": str,
    "created": str,
    "description": str,
    "tags": [str],
    "labels": {"*": str},
    "format": str,
    "gpuType": str,
    "framework": str,
    "metrics": {"set": [_NAMED_VALUE]},
    "hyperParameters": [_NAMED_VALUE],
    "signature": {"inputs": [_TENSOR], "outputs": [_TENSOR], "layers": {"*": _INT32}},
    "training": _GIT,
    "dataset": _GIT,
    "directoryStructure": [str],
}
_SCALAR: Final[tuple[str, list[int]]] = ("size", [])  # a tensor of rank 0, which an absent size is not
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class GitSource:
    """The commit that something came from."""

    repository: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Typed reading of one config document; made by `parse` or `of`, which check it."""

    document: Mapping[str, Any]

    @classmethod
    def parse(cls, content: bytes, what: str = "model config") -> Self:
        """Read a config blob; raises `InvalidError` that names the field."""
        if sum(map(content.count, (b",", b"[", b"{"))) > _MAX_VALUES:
            raise InvalidError(f"{what} must have at most {_MAX_VALUES} values", reason="CONFIG_INVALID")
        return cls.of(decode_object(content, what))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Check `document`, under the config's own field names; raises `InvalidError` that names the field."""
        normalize(document)
        return cls(document)

    def encode(self) -> bytes:
        return encode_json(self.document)

    def with_fields(self, changes: Mapping[str, Any]) -> Self:
        """A copy with `changes` under their JSON names, each where Go would write it; an empty value removes."""
        document = {name: changes.get(name, value) for name, value in self.document.items()}
        for name in changes:
            if name not in document:
                document = _insert(document, name, changes[name])
        return self.of({name: value for name, value in document.items() if name not in changes or value})

    def with_signature(self, signature: Signature) -> Self:
        """A copy with another signature; everything else stays as it is."""
        return self.with_fields({"signature": _normal(signature.to_json(), _FIELDS["signature"], "signature", False)})

    @property
    def author(self) -> str:
        return self._text("author")

    @property
    def created(self) -> str:
        """RFC 3339; the original tool writes `0001-01-01T00:00:00Z` where it was not told."""
        return self._text("created")

    @property
    def description(self) -> str:
        return self._text("description")

    @property
    def format(self) -> str:
        return self._text("format")

    @property
    def framework(self) -> str:
        return self._text("framework")

    @property
    def gpu_type(self) -> str:
        return self._text("gpuType")

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.document.get("tags") or ())

    @property
    def labels(self) -> Mapping[str, str]:
        return {name: value or "" for name, value in (self.document.get("labels") or {}).items()}

    @property
    def metrics(self) -> tuple[tuple[str, str], ...]:
        """(name, value), both text."""
        return _named_values((self.document.get("metrics") or {}).get("set"))

    @property
    def hyper_parameters(self) -> tuple[tuple[str, str], ...]:
        return _named_values(self.document.get("hyperParameters"))

    @property
    def signature(self) -> Signature | None:
        """None where the artifact carries none."""
        document = self.document.get("signature")
        return _signature_from_json(document) if document else None

    @property
    def training(self) -> GitSource:
        return _git(self.document.get("training"))

    @property
    def dataset(self) -> GitSource:
        return _git(self.document.get("dataset"))

    @property
    def directory_structure(self) -> tuple[str, ...]:
        """The names of the model's files, `model/…`."""
        return tuple(self.document.get("directoryStructure") or ())

    def _text(self, name: str) -> str:
        return self.document.get(name) or ""


def normalize(document: Mapping[str, Any], *, fold: bool = False) -> dict[str, Any]:
    """`document` with its fields in Go's order and unknown ones behind, empty ones left out.

    With `fold` it is YAML that a person wrote, read as text: names match without regard to case, as Go's do, numbers
    are parsed, and an unknown field is an error. Raises `InvalidError` with a violation for the first field that is
    wrong.
    """
    normal: dict[str, Any] = _normal(document, _FIELDS, "", fold)
    created = normal.get("created", "")
    if created and not _is_rfc3339(created):
        raise _violation("created", f"{created!r} is not an RFC 3339 time such as 2024-05-01T12:00:00Z")
    return normal


def known_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document that was checked, without the fields that are not ours, or null."""
    known: dict[str, Any] = _known(document, _FIELDS)
    return known


def _known(value: Any, kind: Any) -> Any:
    if value is not None and isinstance(kind, list):
        return [_known(item, kind[0]) for item in value]
    if value is not None and isinstance(kind, Mapping) and "*" not in kind:
        return {name: _known(item, kind[name]) for name, item in value.items() if name in kind and item is not None}
    return value


def _normal(value: Any, kind: Any, path: str, fold: bool) -> Any:
    if value is None or (fold and value == "" and kind is not str):
        return None
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise _violation(path, "must be a list")
        return [_normal_item(item, kind[0], f"{path}[{i}]", fold) for i, item in enumerate(value)]
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise _violation(path, "must be an object")
        return _normal_object(value, kind, path, fold)
    return _normal_scalar(value, kind, path, fold)


def _normal_item(value: Any, kind: Any, path: str, fold: bool) -> Any:
    item = _normal(value, kind, path, fold)
    if item is None:
        raise _violation(path, "must not be null")
    return item


def _normal_object(value: Mapping[str, Any], kind: Mapping[str, Any], path: str, fold: bool) -> dict[str, Any]:
    prefix = f"{path}." if path else ""
    known = _folded(value, kind, prefix) if fold and "*" not in kind else value
    if "*" in kind:
        if not all(map(_is_text, known)):
            raise _violation(path, "a name holds half of a character")
        return {name: _normal(known[name], kind["*"], prefix + name, fold) for name in sorted(known)}
    ordered = [name for name in kind if name in known] + [name for name in known if name not in kind]
    normal = {
        name: _normal(known[name], kind[name], prefix + name, fold) if name in kind else known[name] for name in ordered
    }
    return {name: item for name, item in normal.items() if item not in (None, "", [], {}) or (name, item) == _SCALAR}


def _folded(value: Mapping[str, Any], kind: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return `value` under the names of `kind`, each of which may be written in one way alone."""
    names = {name.casefold(): name for name in kind}
    known: dict[str, Any] = {}
    for written, item in value.items():
        name = names.get(written.casefold())
        if name is None:
            raise _violation(prefix + written, f"unknown field; there are {', '.join(kind)}")
        if name in known:
            raise _violation(prefix + written, f"is {name} once more: leave one out")
        known[name] = item
    return known


def _normal_scalar(value: Any, kind: type[str] | range, path: str, fold: bool) -> Any:
    if isinstance(kind, range):
        return _normal_number(value, kind, path, fold)
    if not isinstance(value, str):
        raise _violation(path, "must be text")
    if not _is_text(value):
        raise _violation(path, "holds half of a character")
    return value


def _normal_number(value: Any, within: range, path: str, fold: bool) -> int:
    if fold and isinstance(value, str):
        try:
            value = int(value)
        except ValueError as error:
            raise _violation(path, f"{value[:80]!r} is not a whole number") from error
    if not isinstance(value, int) or isinstance(value, bool):
        raise _violation(path, "must be a whole number")
    if value not in within:
        raise _violation(path, f"is not within {within[0]}..{within[-1]}")
    return value


def _is_text(value: str) -> bool:
    """JSON can spell surrogates that stand alone: nothing that speaks UTF-8 takes them."""
    return value.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _insert(document: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """`document` with `name` before the first field that Go writes after it."""
    later = list(_FIELDS)[list(_FIELDS).index(name) + 1 :]
    items = list(document.items())
    at = next((i for i, (known, _) in enumerate(items) if known in later), len(items))
    return dict([*items[:at], (name, value), *items[at:]])


def _signature_from_json(document: Mapping[str, Any]) -> Signature:
    return Signature(
        inputs=tuple(_tensor_from_json(tensor) for tensor in document.get("inputs") or ()),
        outputs=tuple(_tensor_from_json(tensor) for tensor in document.get("outputs") or ()),
        layers={name: count or 0 for name, count in (document.get("layers") or {}).items()},
    )


def _tensor_from_json(document: Mapping[str, Any]) -> Tensor:
    size = document.get("size")
    return Tensor(
        name=document.get("name") or "",
        size=None if size is None else tuple(size),
        dtype=document.get("dType") or "",
        op_type=document.get("opType") or "",
        values=tuple(document.get("values") or ()),
    )


def _named_values(items: Iterable[Mapping[str, str]] | None) -> tuple[tuple[str, str], ...]:
    return tuple((item.get("name") or "", item.get("value") or "") for item in items or ())


def _git(document: Mapping[str, Any] | None) -> GitSource:
    git = (document or {}).get("git") or {}
    return GitSource(git.get("repository") or "", git.get("revision") or "")


def _is_rfc3339(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def _violation(path: str, description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation(path, description),), reason="CONFIG_INVALID")
