"""The ORMB document (kleveross/ormb, docs/spec-v1alpha1.md): an artifact's config as JSON, and `ormbfile.yaml`.

`decode` and `encode` convert between a document and `ModelMetadata`. `encode` keeps the fields of a document that
Klever does not know, so that an artifact of a newer tool survives a change of its metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from klever.artifacts.metadata import GitSource, ModelMetadata
from klever.artifacts.schema import FIELDS, normalize
from klever.errors import InvalidError
from klever.formats import Details, LanguageModel, Signature, Tensor
from klever.oci.encoding import decode_object

__all__ = ["decode", "encode", "parse"]

_MAX_VALUES: Final = 100_000
"""The most JSON values of a document. An empty value takes 3 bytes of JSON and 100 bytes of memory."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def parse(content: bytes, what: str = "model config") -> dict[str, Any]:
    """Parse and check a JSON document. Raises `InvalidError` that names the first wrong field."""
    if sum(map(content.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise InvalidError(f"{what} must have at most {_MAX_VALUES} values", reason="CONFIG_INVALID")
    document = decode_object(content, what)
    normalize(document)
    return document


def decode(document: Mapping[str, Any]) -> ModelMetadata:
    """Return the metadata in a checked document."""
    return ModelMetadata(
        author=document.get("author") or "",
        created=document.get("created") or "",
        description=document.get("description") or "",
        tags=tuple(document.get("tags") or ()),
        labels={name: value or "" for name, value in (document.get("labels") or {}).items()},
        format=document.get("format") or "",
        gpu_type=document.get("gpuType") or "",
        framework=document.get("framework") or "",
        metrics=_pairs((document.get("metrics") or {}).get("set")),
        hyper_parameters=_pairs(document.get("hyperParameters")),
        signature=_signature(document.get("signature")),
        training=_git(document.get("training")),
        dataset=_git(document.get("dataset")),
        files=tuple(document.get("directoryStructure") or ()),
    )


def encode(metadata: ModelMetadata, previous: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
    """Return the document of `metadata`, its fields in the order in which Go writes them.

    With `previous`, a checked document, only the fields that differ from it change. Raises `InvalidError` that names
    the field if a value cannot be written.
    """
    known, wanted = _fields(decode(previous)), _fields(metadata)
    document = dict(previous)
    for name, value in wanted.items():
        if value == known[name]:
            continue
        if value is None:
            del document[name]
        else:
            document = _insert(document, name, value)
    return document


def _fields(metadata: ModelMetadata) -> dict[str, Any]:
    """Return the value of every field, None for fields to omit."""
    normal = normalize({
        "author": metadata.author,
        "created": metadata.created,
        "description": metadata.description,
        "tags": list(metadata.tags),
        "labels": metadata.labels,
        "format": metadata.format,
        "gpuType": metadata.gpu_type,
        "framework": metadata.framework,
        "metrics": {"set": _named_values(metadata.metrics)},
        "hyperParameters": _named_values(metadata.hyper_parameters),
        "signature": metadata.signature.to_json() if metadata.signature else None,
        "training": _source(metadata.training),
        "dataset": _source(metadata.dataset),
        "directoryStructure": list(metadata.files),
    })  # fmt: skip
    return {name: normal.get(name) for name in FIELDS}


def _insert(document: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return `document` with `name` in its place: before the first field that Go writes after it."""
    if name in document:
        return document | {name: value}
    later = list(FIELDS)[list(FIELDS).index(name) + 1 :]
    items = list(document.items())
    at = next((i for i, (known, _) in enumerate(items) if known in later), len(items))
    return dict([*items[:at], (name, value), *items[at:]])


def _signature(document: Mapping[str, Any] | None) -> Signature | None:
    if not document:
        return None
    return Signature(
        inputs=tuple(_tensor(tensor) for tensor in document.get("inputs") or ()),
        outputs=tuple(_tensor(tensor) for tensor in document.get("outputs") or ()),
        layers={name: count or 0 for name, count in (document.get("layers") or {}).items()},
        details=_details(document.get("details") or _NOTHING),
    )


def _details(document: Mapping[str, Any]) -> Details:
    language_model = document.get("languageModel")
    return Details(
        format_version=document.get("formatVersion") or "",
        producer=document.get("producer") or "",
        parameters=document.get("parameters"),
        parameter_bytes=document.get("parameterBytes"),
        memory_bytes=document.get("memoryBytes"),
        classes=tuple(document.get("classes") or ()),
        language_model=_language_model(language_model) if language_model else None,
        warnings=tuple(document.get("warnings") or ()),
        feature_names=tuple(document.get("featureNames") or ()),
    )


def _language_model(document: Mapping[str, Any]) -> LanguageModel:
    return LanguageModel(
        architecture=document.get("architecture") or "",
        quantization=document.get("quantization") or "",
        context_length=document.get("contextLength"),
        chat_template=document.get("chatTemplate") or "",
    )


def _tensor(document: Mapping[str, Any]) -> Tensor:
    size = document.get("size")
    return Tensor(
        name=document.get("name") or "",
        size=None if size is None else tuple(size),
        dtype=document.get("dType") or "",
        op_type=document.get("opType") or "",
        values=tuple(document.get("values") or ()),
    )


def _pairs(items: Iterable[Mapping[str, str]] | None) -> tuple[tuple[str, str], ...]:
    return tuple((item.get("name") or "", item.get("value") or "") for item in items or ())


def _named_values(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in pairs]


def _git(document: Mapping[str, Any] | None) -> GitSource:
    git = (document or {}).get("git") or {}
    return GitSource(git.get("repository") or "", git.get("revision") or "")


def _source(git: GitSource) -> dict[str, Any]:
    return {"git": {"repository": git.repository, "revision": git.revision}}
