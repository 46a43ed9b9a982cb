"""The contract of a dialect: a way in which a tool packs a model as an OCI artifact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

from klever.artifacts.metadata import ModelMetadata
from klever.limits import Limits
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.progress import Progress

__all__ = ["Dialect"]

MAX_CONFIG: Final = 4 << 20
"""The largest config in bytes. The limit `config_bytes` of a platform is lower."""


class Dialect(ABC):
    """Reads and writes the artifacts of one tool. A dialect keeps no state.

    - `detect` recognizes a manifest without reading anything else. `config_media_types` are the media types of its
      config blobs; no two dialects share one, and a registry lists a dialect's artifacts by them.
    - `decode` and `encode` convert the config blob. `encode` keeps every part of the previous config that
      `ModelMetadata` does not express, and returns the same bytes if nothing changes.
    - `build` stores the files of `DIRECTORY/model` in any number of layers; `unpack` writes them below `TARGET/model`.
      Equal files and metadata give an equal manifest.
    - `content_layers` are the layers that hold the model itself. `content` is their identity: it is equal for versions
      that differ only in metadata, and differs for versions with different files.

    Every method raises `InvalidError` for an artifact that breaks the dialect's rules. Calls block.
    """

    name: ClassVar[str]
    config_media_types: ClassVar[tuple[str, ...]]

    def detect(self, manifest: Manifest) -> bool:
        return manifest.config.media_type in self.config_media_types

    @abstractmethod
    def decode(self, config: bytes) -> ModelMetadata: ...

    @abstractmethod
    def encode(self, metadata: ModelMetadata, previous: bytes = b"") -> bytes: ...

    @abstractmethod
    def content_layers(self, manifest: Manifest) -> tuple[Descriptor, ...]: ...

    @abstractmethod
    def build(self, directory: Path, metadata: ModelMetadata, layout: Layout, progress: Progress) -> Manifest:
        """Return the manifest; the caller stores it. Raises `InvalidError` that names a file that cannot be packed."""

    @abstractmethod
    def unpack(self, manifest: Manifest, layout: Layout, target: Path, limits: Limits) -> list[str]:
        """Return the names of the files, `model/…`.

        Raises `InvalidError` for an unsafe archive, `IntegrityError` if a blob has changed on disk.
        """

    def content(self, manifest: Manifest) -> Digest:
        """Return the digest of the only layer, or one over the digests of all layers in their order."""
        digests = [str(layer.digest) for layer in self.content_layers(manifest)]
        return Digest.parse(digests[0]) if len(digests) == 1 else Digest.of("\n".join(digests).encode())

    def read_metadata(self, manifest: Manifest, layout: Layout) -> ModelMetadata:
        """Return the metadata of an artifact whose config is in the layout."""
        return self.decode(layout.read(manifest.config, limit=MAX_CONFIG))

    def with_metadata(self, manifest: Manifest, metadata: ModelMetadata, layout: Layout) -> Manifest:
        """Return the manifest of the same content with other metadata, whose config is stored in the layout."""
        config = self.encode(metadata, layout.read(manifest.config, limit=MAX_CONFIG))
        return replace(manifest, config=layout.put(manifest.config.media_type, config))
