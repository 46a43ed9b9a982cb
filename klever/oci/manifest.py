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
"""Bytes of a manifest that are read at the most; what the distribution specification lets a registry refuse beyond."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What content is (media type), which bytes (digest), how many (size)."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, media_type: str, content: bytes) -> Self:
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read one descriptor; raises `InvalidError` with `where` in the message."""
        if not isinstance(value, dict):
            raise InvalidError(f"{where} is not a descriptor")
        size, digest, media_type = value.get("size"), value.get("digest"), value.get("mediaType", "")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidError(f"{where}.size is not a number of bytes")
        if not isinstance(digest, str) or not isinstance(media_type, str):
            raise InvalidError(f"{where} needs mediaType and digest")
        return cls(media_type, Digest.parse(digest), size, _strings(value.get("annotations"), f"{where}.annotations"))

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest. `media_type` is empty where the document carries none, as in those of the original ormb."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: bytes, what: str = "manifest") -> Self:
        """Read a manifest; raises `InvalidError` if it is none, an index among others, beginning with `what`."""
        document = decode_object(content, what)
        media_type = document.get("mediaType", "")
        if media_type in mediatypes.INDEXES or "manifests" in document:
            raise InvalidError(f"{what} is an index of several artifacts, not a model")
        if document.get("schemaVersion") != 2 or media_type not in {"", *mediatypes.MANIFESTS}:
            raise InvalidError(f"{what} is not an OCI image manifest")
        layers = document.get("layers")
        if not isinstance(layers, list):
            raise InvalidError(f"{what}: layers is not a list")
        artifact_type = document.get("artifactType", "")
        if not isinstance(artifact_type, str):
            raise InvalidError(f"{what}: artifactType is not a string")
        return cls(
            config=Descriptor.from_json(document.get("config"), f"{what}: config"),
            layers=tuple(Descriptor.from_json(x, f"{what}: layers[{i}]") for i, x in enumerate(layers)),
            media_type=media_type,
            artifact_type=artifact_type,
            annotations=_strings(document.get("annotations"), f"{what}: annotations"),
        )

    def encode(self) -> bytes:
        """The document, fields in the specification's order, empty ones left out."""
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
        raise InvalidError(f"{where} is not a map of strings")
    return value
