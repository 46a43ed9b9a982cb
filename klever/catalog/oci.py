"""A catalogue over any OCI registry, by the distribution API."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from klever.catalog.catalogue import Catalogue, Push, Version
from klever.catalog.reader import VersionReader
from klever.errors import InvalidError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor
from klever.oci.reference import Reference
from klever.oci.registries import Endpoint, Registries

__all__ = ["OciCatalogue"]

T = TypeVar("T")

_THREADS: Final = 32
"""Calls at a time; further calls wait."""
_PATIENCE: Final = 10.0
"""Seconds of silence: what is read here is small, and a caller waits for it."""
_POLL_SECONDS: Final = 60.0


class OciCatalogue(Catalogue):
    """Asks the registries of the table, and keeps configs in the layout `metadata`.

    Clients run in threads of the catalogue's own: a registry that does not answer would take all of the loop's.
    A listing costs one call per tag that was not read before. `notifications` asks every `poll` seconds.
    """

    def __init__(
        self, registries: Registries, metadata: Layout, limits: Limits = DEFAULTS, *, poll: float = _POLL_SECONDS
    ) -> None:
        self._registries = registries
        self._metadata = metadata
        self._limits = limits
        self._poll = poll
        self._reader = VersionReader(limits)
        self._threads = ThreadPoolExecutor(_THREADS, "catalogue")

    async def projects(self) -> dict[str, int]:
        return dict(Counter(name.partition("/")[0] for name in await self.models()))

    async def models(self, project: str = "") -> list[str]:
        names = await self._call(self._registries.resolve_host(""), RegistryClient.repositories)
        prefix = f"{project}/" if project else ""
        return sorted(name for name in names if "/" in name and name.startswith(prefix))

    async def count(self, repository: str) -> int:
        try:
            return len(await self._tags(repository))
        except NotFoundError:
            return 0

    async def versions(
        self, repository: str, *, containing: str = "", offset: int, limit: int
    ) -> tuple[list[Version | None], bool]:
        tags = [tag for tag in await self._tags(repository) if containing in tag]
        page = [await self._readable(repository, tag) for tag in tags[offset : offset + limit]]
        return page, len(tags) > offset + limit

    async def versions_by_time(self, repository: str, *, containing: str = "") -> list[Version]:
        tags = [tag for tag in await self._tags(repository) if containing in tag]
        self._limits.check("versions_by_time", len(tags), f"the model {repository}", "order_by")
        found = [await self._readable(repository, tag) for tag in tags]
        return sorted((version for version in found if version), key=lambda version: version.created)

    async def latest(self, repository: str) -> Version | None:
        found = await self.versions_by_time(repository)
        return found[-1] if found else None

    async def resolve(self, reference: Reference) -> Version:
        if reference.digest is not None and (known := self._reader.known(reference, reference.digest)):
            return known
        return await self._with(reference, lambda client: self._read(client, reference))

    async def tag(self, version: Version, tag: str, expected: Digest | None) -> None:
        def write(client: RegistryClient) -> None:
            repository = version.reference.repository
            fetched = client.get_manifest(repository, str(version.digest))
            client.put_manifest(repository, tag, fetched.content, fetched.media_type, expected=expected)

        await self._with(version.reference, write)

    async def delete(self, reference: Reference) -> None:
        await self._with(reference, lambda client: client.delete_manifest(reference.repository, reference.target))

    async def notifications(self) -> AsyncIterator[Push]:
        known: dict[tuple[str, str], Digest] = {}
        new = False
        while True:
            current: dict[tuple[str, str], Digest] = {}
            for repository in await self.models():
                for tag, digest in await self._digests(repository):
                    current[repository, tag] = digest
                    if known.get((repository, tag)) != digest:
                        yield Push(repository, tag, digest, new=new)
            known, new = current, True
            await asyncio.sleep(self._poll)

    def _read(self, client: RegistryClient, reference: Reference) -> Version:
        fetched = client.get_manifest(reference.repository, reference.target)
        if known := self._reader.known(reference, fetched.digest):
            return known
        manifest = self._reader.parse(reference, fetched.content)
        config = self._config(client, reference.repository, manifest.config)
        return self._reader.read(reference, fetched.digest, manifest, config)

    def _config(self, client: RegistryClient, repository: str, blob: Descriptor) -> bytes:
        if not self._metadata.has(blob):
            with self._metadata.writer(expected=blob.digest, size=blob.size) as writer:
                client.get_blob(repository, blob, writer)
                writer.commit()
        return self._metadata.read(blob)

    async def _readable(self, repository: str, tag: str) -> Version | None:
        try:
            return (await self.resolve(Reference(repository, tag=tag))).summary
        except (InvalidError, NotFoundError):
            return None

    async def _tags(self, repository: str) -> list[str]:
        return sorted(await self._with(Reference(repository), lambda client: client.tags(repository)))

    async def _digests(self, repository: str) -> list[tuple[str, Digest]]:
        """Return each tag with what it names; nothing for a repository that was deleted meanwhile."""

        def ask(client: RegistryClient) -> list[tuple[str, Digest]]:
            digests = [(tag, client.get_digest(repository, tag)) for tag in client.tags(repository)]
            return [(tag, digest) for tag, digest in digests if digest is not None]

        try:
            return await self._with(Reference(repository), ask)
        except NotFoundError:
            return []

    async def _with(self, reference: Reference, call: Callable[[RegistryClient], T]) -> T:
        try:
            return await self._call(self._registries.resolve(reference), call)
        except NotFoundError as error:
            raise NotFoundError(
                f"{reference} is not in the registry: {error.message}", reason="MODEL_NOT_FOUND"
            ) from error

    async def _call(self, endpoint: Endpoint, call: Callable[[RegistryClient], T]) -> T:
        def run() -> T:
            with RegistryClient(endpoint, timeout=_PATIENCE) as client:
                return call(client)

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)
