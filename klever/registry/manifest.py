"""Reads a pushed manifest or index (OCI image specification 1.1, manifest.md and image-index.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from klever.errors import IntegrityError, InvalidError
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.encoding import decode_object
from klever.oci.manifest import Descriptor

__all__ = ["PushedManifest"]

_UNDISTRIBUTED: Final = (".nondistributable.", ".foreign.")


@dataclass(frozen=True, slots=True)
class PushedManifest:
    """A well-formed manifest or index. Its repository must contain `blobs` and `manifests`, but not `subject`."""

    content: bytes
    digest: Digest
    media_type: str
    artifact_type: str
    config_media_type: str
    subject: Digest | None
    blobs: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, content: bytes, media_type: str, digest: Digest | None = None) -> Self:
        """Parse a pushed manifest. An empty `media_type` means that of the document; `digest` is None for a push by
        tag.

        Raises `InvalidError` with the reason MANIFEST_INVALID, `IntegrityError` with DIGEST_INVALID.
        """
        found = _digest(content, digest)
        try:
            return cls._parse(content, media_type, found)
        except InvalidError as error:
            raise InvalidError(error.message, reason="MANIFEST_INVALID") from error

    @classmethod
    def _parse(cls, content: bytes, media_type: str, digest: Digest) -> Self:
        document = decode_object(content, "the manifest")
        media_type = _media_type(document, media_type)
        if document.get("schemaVersion") != 2:
            raise InvalidError("the manifest's schemaVersion must be 2")
        is_index = media_type in mediatypes.INDEXES
        config = None if is_index else Descriptor.from_json(document.get("config"), "config")
        layers = () if is_index else _descriptors(document, "layers")
        config_media_type = _utf8(config.media_type, "config.mediaType") if config else ""
        return cls(
            content=content,
            digest=digest,
            media_type=media_type,
            artifact_type=_text(document, "artifactType") or config_media_type,
            config_media_type=config_media_type,
            subject=Descriptor.from_json(document["subject"], "subject").digest if document.get("subject") else None,
            blobs=tuple(blob for blob in (*((config,) if config else ()), *layers) if _is_distributed(blob)),
            manifests=_descriptors(document, "manifests") if is_index else (),
            annotations=_annotations(document),
        )

    @property
    def size(self) -> int:
        """The size of the manifest and the content that it lists, in bytes."""
        return len(self.content) + sum(child.size for child in (*self.blobs, *self.manifests))

    def referrer(self) -> dict[str, Any]:
        """Return its descriptor for the referrers API (distribution specification, "Listing Referrers")."""
        descriptor = Descriptor(self.media_type, self.digest, len(self.content), self.annotations).to_json()
        return descriptor | ({"artifactType": self.artifact_type} if self.artifact_type else {})


def _digest(content: bytes, wanted: Digest | None) -> Digest:
    if wanted is None:
        return Digest.of(content)
    hasher = wanted.hasher()
    hasher.update(content)
    found = Digest.of_hash(hasher)
    if found != wanted:
        raise IntegrityError(f"the manifest's digest is {found}, not {wanted}", reason="DIGEST_INVALID")
    return found


def _media_type(document: dict[str, Any], announced: str) -> str:
    written = _text(document, "mediaType")
    if written and announced and written != announced:
        raise InvalidError(f"the manifest's mediaType {written} differs from the Content-Type {announced}")
    media_type = announced or written
    if media_type not in {*mediatypes.MANIFESTS, *mediatypes.INDEXES}:
        raise InvalidError(f"unsupported media type {media_type!r}: must be that of a manifest or index")
    return media_type


def _descriptors(document: dict[str, Any], name: str) -> tuple[Descriptor, ...]:
    values = document.get(name)
    if not isinstance(values, list):
        raise InvalidError(f"{name} must be a list")
    return tuple(Descriptor.from_json(value, f"{name}[{i}]") for i, value in enumerate(values))


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise InvalidError(f"{name} must be a string")
    return _utf8(value, name)


def _utf8(text: str, name: str) -> str:
    """Return `text` if it is valid Unicode: JSON can escape lone surrogates."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidError(f"{name} must be valid Unicode text")
    return text


def _annotations(document: dict[str, Any]) -> Mapping[str, str]:
    value = document.get("annotations") or {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidError("annotations must be a map of strings")
    return value


def _is_distributed(blob: Descriptor) -> bool:
    """Whether clients push the blob: they do not push layers of the old non-distributable types (layer.md)."""
    return not any(word in blob.media_type for word in _UNDISTRIBUTED)
