"""Reads a version from its manifest and config, and caches it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from klever.artifacts.dialects import detect
from klever.catalog.cache import VersionCache
from klever.catalog.catalogue import Version
from klever.formats.bounds import check_bounds
from klever.limits import Limits
from klever.oci.digest import Digest
from klever.oci.manifest import Manifest
from klever.oci.reference import Reference

__all__ = ["VersionReader"]


_MOST_UNREADABLE: Final = 10_000


class VersionReader:
    """Reads and caches versions. Threads may share it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._versions = VersionCache()
        self._summaries = VersionCache()
        self._unreadable: OrderedDict[Digest, None] = OrderedDict()

    def is_unreadable(self, digest: Digest) -> bool:
        """Report whether `refuse` was called for a manifest. Its content cannot change."""
        return digest in self._unreadable

    def refuse(self, digest: Digest) -> None:
        """Remember that a manifest is not a model's: to find that out again takes time for each list."""
        self._unreadable[digest] = None
        if len(self._unreadable) > _MOST_UNREADABLE:
            self._unreadable.popitem(last=False)

    def known(self, reference: Reference, digest: Digest) -> Version | None:
        """Return a cached version."""
        version = self._versions.get(reference.repository, digest)
        return replace(version, reference=reference) if version else None

    def summary(self, reference: Reference, digest: Digest) -> Version | None:
        """Return the summary of a version from the cache, which keeps far more summaries than whole versions."""
        version = self._summaries.get(reference.repository, digest)
        return replace(version, reference=reference) if version else None

    def content(self, reference: Reference, manifest: bytes) -> Digest:
        """Return the identity of the content of a version with this manifest. Raises `InvalidError`."""
        parsed = self.parse(reference, manifest)
        return detect(parsed, str(reference)).content(parsed)

    def check_size(self, reference: Reference, size: int) -> None:
        """Raise `InvalidError` for a manifest beyond the limit `model_manifest_bytes`, before it is read."""
        self._limits.check("model_manifest_bytes", size, f"the manifest of {reference}")

    def parse(self, reference: Reference, content: bytes) -> Manifest:
        """Return the manifest of a model. Raises `InvalidError`, also beyond the limits of manifests and configs."""
        self.check_size(reference, len(content))
        manifest = Manifest.parse(content, str(reference))
        detect(manifest, str(reference)).content_layers(manifest)
        self._limits.check("config_bytes", manifest.config.size, f"the metadata of {reference}")
        return manifest

    def read(self, reference: Reference, digest: Digest, manifest: Manifest, config: bytes) -> Version:
        """Return the version of a manifest from `parse`, and cache it. Raises `InvalidError`."""
        dialect = detect(manifest, str(reference))
        metadata = dialect.decode(config)
        if metadata.signature is not None:
            check_bounds(metadata.signature, self._limits)
        size = manifest.config.size + sum(layer.size for layer in manifest.layers)
        content, config_bytes = dialect.content(manifest), manifest.config.size
        signature = metadata.signature
        tensors = (len(signature.inputs), len(signature.outputs)) if signature else None
        version = Version(reference, digest, content, size, metadata, dialect.name, config_bytes, tensors)
        self._versions.add(reference.repository, version, config_bytes)
        summary = version.summary
        self._summaries.add(reference.repository, summary, len(dialect.encode(summary.metadata)))
        return version
