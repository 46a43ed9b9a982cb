"""The catalogue: what a registry holds, read as models and versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from klever.artifacts.dialects import detect
from klever.artifacts.metadata import ModelMetadata
from klever.catalog.cache import VersionCache
from klever.errors import NotFoundError
from klever.formats.bounds import check_bounds
from klever.limits import DEFAULTS, Limits
from klever.oci.client import FetchedManifest, RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.reference import Reference
from klever.oci.registries import Registries

__all__ = ["Catalogue", "Version"]

T = TypeVar("T")

_THREADS = 32
"""Calls at a time: the rest waits for those."""
_PATIENCE = 10.0
"""Seconds of silence: what is read here is small, and somebody waits for it."""


@dataclass(frozen=True, slots=True)
class Version:
    """One artifact that is a model. `reference` is as it was asked for; `size` is in bytes, config and layers.

    `config_bytes` is the size of the config alone. `content` is the digest by which versions that differ in metadata
    only are equal.
    """

    reference: Reference
    digest: Digest
    content: Digest
    size: int
    metadata: ModelMetadata
    dialect: str
    config_bytes: int = 0

    @property
    def pinned(self) -> Reference:
        """The reference that names exactly this version for ever."""
        return self.reference.with_digest(self.digest)


class Catalogue:
    """Reads and tags what is in registries. Calls block nothing: the clients work in threads of the catalogue's own.

    The loop's are few, and needed by all other parts: a registry that does not answer would take them all.
    """

    def __init__(self, registries: Registries, metadata: Layout, limits: Limits = DEFAULTS) -> None:
        self._registries = registries
        self._metadata = metadata
        self._limits = limits
        self._versions = VersionCache()
        self._threads = ThreadPoolExecutor(_THREADS, "catalogue")

    async def resolve(self, reference: Reference) -> Version:
        """Return what a tag or digest names now.

        Raises `NotFoundError`, `InvalidError` if it is no model, `UnavailableError` if the registry does not answer.
        """
        if reference.digest is not None and (known := self._known(reference, reference.digest)):
            return known
        return await self._with(reference, lambda client: self._read(client, reference))

    async def tag(self, version: Version, tag: str, expected: Digest | None) -> None:
        """Let `tag` name the version too; `expected` is what it must name now (`ConflictError`)."""

        def write(client: RegistryClient) -> None:
            repository = version.reference.repository
            fetched = client.get_manifest(repository, str(version.digest))
            client.put_manifest(repository, tag, fetched.content, fetched.media_type, expected=expected)

        await self._with(version.reference, write)

    async def untag(self, repository: str, target: str) -> None:
        await self._with(Reference(repository), lambda client: client.delete_manifest(repository, target))

    def _known(self, reference: Reference, digest: Digest) -> Version | None:
        version = self._versions.get(reference.repository, digest)
        return replace(version, reference=reference) if version else None

    def _read(self, client: RegistryClient, reference: Reference) -> Version:
        fetched = client.get_manifest(reference.repository, str(reference.digest or reference.tag or "latest"))
        return self._known(reference, fetched.digest) or self._add(client, reference, fetched)

    def _add(self, client: RegistryClient, reference: Reference, fetched: FetchedManifest) -> Version:
        """Read a version's metadata and remember it; raises as `resolve`."""
        version = self._parse(client, reference, fetched)
        self._versions.add(reference.repository, version)
        return version

    def _parse(self, client: RegistryClient, reference: Reference, fetched: FetchedManifest) -> Version:
        manifest = Manifest.parse(fetched.content, str(reference))
        dialect = detect(manifest, str(reference))
        content = dialect.content(manifest)
        self._limits.check("config_bytes", manifest.config.size, f"the metadata of {reference}")
        self._fetch(client, reference.repository, manifest.config)
        metadata = dialect.read_metadata(manifest, self._metadata)
        if metadata.signature is not None:
            check_bounds(metadata.signature, self._limits)
        size = manifest.config.size + sum(layer.size for layer in manifest.layers)
        return Version(reference, fetched.digest, content, size, metadata, dialect.name, manifest.config.size)

    def _fetch(self, client: RegistryClient, repository: str, blob: Descriptor) -> None:
        if self._metadata.has(blob):
            return
        with self._metadata.writer(expected=blob.digest, size=blob.size) as writer:
            client.get_blob(repository, blob, writer)
            writer.commit()

    async def _with(self, reference: Reference, call: Callable[[RegistryClient], T]) -> T:
        endpoint = self._registries.resolve(reference)

        def run() -> T:
            client = RegistryClient(endpoint, timeout=_PATIENCE)
            try:
                return call(client)
            except NotFoundError as error:
                raise NotFoundError(
                    f"{reference} is not in the registry: {error.message}", reason="MODEL_NOT_FOUND"
                ) from error
            finally:
                client.close()

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)
