"""Descriptors and image manifests (OCI image specification 1.1, descriptor.md and manifest.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from klever.errors import InvalidError
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.encoding import decode_object, encode_json

__all__ = ["MAX_MANIFEST", "Descriptor", "Manifest"]

MAX_MANIFEST: Final = 4 << 20
"""The largest manifest in bytes. The distribution specification lets a registry reject larger ones."""
_MOST_LAYERS: Final = 10_000
"""A manifest of 4 MiB can have 30,000 layers. To read them takes 300 ms."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The media type, digest and size of some content."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, media_type: str, content: bytes) -> Self:
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Parse one descriptor. Raises `InvalidError` with `where` in the message."""
        if not isinstance(value, dict):
            raise InvalidError(f"{where} must be a descriptor")
        size, digest, media_type = value.get("size"), value.get("digest"), value.get("mediaType", "")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidError(f"{where}.size must be a number of bytes")
        if not isinstance(digest, str) or not isinstance(media_type, str):
            raise InvalidError(f"{where} must have mediaType and digest")
        return cls(media_type, Digest.parse(digest), size, _strings(value.get("annotations"), f"{where}.annotations"))

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest. `media_type` is empty if the document has none, as in those of the original ormb."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: bytes, what: str = "manifest") -> Self:
        """Parse a manifest. Raises `InvalidError`, also for an index, whose message begins with `what`."""
        document = decode_object(content, what)
        media_type = document.get("mediaType", "")
        if media_type in mediatypes.INDEXES or "manifests" in document:
            raise InvalidError(f"{what} must be the manifest of a model, not an index of several artifacts")
        if document.get("schemaVersion") != 2 or media_type not in {"", *mediatypes.MANIFESTS}:
            raise InvalidError(f"{what} must be an OCI image manifest")
        layers = document.get("layers")
        if not isinstance(layers, list):
            raise InvalidError(f"{what}: layers must be a list")
        if len(layers) > _MOST_LAYERS:
            raise InvalidError(f"{what} has {len(layers)} layers: a model must have at most {_MOST_LAYERS}")
        artifact_type = document.get("artifactType", "")
        if not isinstance(artifact_type, str):
            raise InvalidError(f"{what}: artifactType must be a string")
        return cls(
            config=Descriptor.from_json(document.get("config"), f"{what}: config"),
            layers=tuple(Descriptor.from_json(x, f"{what}: layers[{i}]") for i, x in enumerate(layers)),
            media_type=media_type,
            artifact_type=artifact_type,
            annotations=_strings(document.get("annotations"), f"{what}: annotations"),
        )

    def encode(self) -> bytes:
        """Return the document, with fields in the specification's order and without empty ones."""
        document: dict[str, Any] = {"schemaVersion": 2}
        if self.media_type:
            document["mediaType"] = self.media_type
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        document["config"] = self.config.to_json()
        document["layers"] = [layer.to_json() for layer in self.layers]
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return encode_json(document)


def _strings(value: object, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidError(f"{where} must be a map of strings")
    return value
