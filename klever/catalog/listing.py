"""The catalogue of the platform's own registry, which it lists page by page.

Tags and manifests are read from the registry in process. A page costs the manifests of that page, however many
versions a model has.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from klever.api.text import parse_time
from klever.artifacts.dialects import config_media_types
from klever.catalog.catalogue import Catalogue, Version
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci.client import FetchedManifest, RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.oci.registries import Registries
from klever.registry.records import Tag
from klever.registry.registry import Registry

__all__ = ["PlatformCatalogue", "created_at"]

_PAGE: Final = 1000
"""Names that are read in one go, between which others get their turn."""
_CHUNK: Final = 8
"""Versions that are read at a time."""
_PAGE_BYTES: Final = 4 << 20
"""Metadata of the versions of a page: a message holds no more."""
_CANDIDATES: Final = 4
"""Tags, the last pushed ones, among which a model's latest version is looked for."""
_CACHED_LATEST: Final = 4096
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class PlatformCatalogue(Catalogue):
    """A catalogue that also lists what `registry`, the platform's own, holds."""

    def __init__(
        self, registries: Registries, metadata: Layout, registry: Registry, *, limits: Limits = DEFAULTS
    ) -> None:
        super().__init__(registries, metadata, limits)
        self._registry = registry
        self._latest: OrderedDict[str, tuple[list[Tag], Tag | None]] = OrderedDict()

    async def models(self, project: str = "") -> list[str]:
        """Return the repositories, sorted; of one project if it is given."""
        prefix = f"{project}/" if project else ""
        names, after = [], prefix
        while page := self._registry.repositories(after=after, limit=_PAGE):
            names += [name for name in page if name.startswith(prefix) and "/" in name]
            after = page[-1]
            if not after.startswith(prefix):
                break
            await asyncio.sleep(0)
        return names

    async def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository, sorted; raises `NotFoundError`."""
        names: list[str] = []
        while page := self._registry.tags(repository, after=names[-1] if names else "", limit=_PAGE):
            names += page
            await asyncio.sleep(0)
        return names

    def count(self, repository: str) -> int:
        """Return the number of tags of a repository."""
        return self._registry.count_tags(repository)

    async def versions(
        self, repository: str, *, containing: str = "", offset: int, limit: int
    ) -> tuple[list[Version | None], bool]:
        """Return at most `limit` versions whose tags contain a text, by tag, from `offset` on, and if more follow.

        There are fewer where their metadata is large, but at least one.

        A version whose metadata cannot be read is None. Raises `NotFoundError` for an unknown repository.
        """
        self._check_known(repository)
        tags = self._registry.tagged(
            repository, config_media_types(), containing=containing, offset=offset, limit=limit + 1
        )
        page: list[Version | None] = []
        left = _PAGE_BYTES
        for start in range(0, min(limit, len(tags)), _CHUNK):
            for version in await self._read_all(repository, tags[start : min(start + _CHUNK, limit)]):
                left -= version.config_bytes if version else 0
                if left < 0 and page:
                    return page, True
                page.append(version)
            await asyncio.sleep(0)  # versions that are known are read without waiting
        return page, len(tags) > limit

    async def versions_by_time(self, repository: str, *, containing: str = "") -> list[Version]:
        """Return all versions whose tags contain a text, the one that was created first first.

        Every version must be read for that: raises `InvalidError` beyond the limit `versions_by_time`.
        """
        self._check_known(repository)
        most = self._limits.versions_by_time
        tags = self._registry.tagged(repository, config_media_types(), containing=containing, offset=0, limit=most + 1)
        if len(tags) > most:
            count = max(self.count(repository), most + 1)
            self._limits.check("versions_by_time", count, f"the model {repository}", "order_by")
        found: list[Version] = []
        for start in range(0, len(tags), _CHUNK):
            found += filter(None, await self._read_all(repository, tags[start : start + _CHUNK]))
            used = sum(version.config_bytes for version in found)
            self._limits.check("listed_bytes", used, f"the metadata of the versions of {repository}", "order_by")
        return sorted(found, key=created_at)

    async def latest(self, repository: str) -> Version | None:
        """Return the version that was created last among those pushed last; None if none of these is a model."""
        tags = self._registry.newest(repository, config_media_types(), limit=_CANDIDATES)
        known = self._latest.get(repository)
        if known is not None and known[0] == tags:
            return (await self._read_all(repository, [known[1]]))[0] if known[1] else None
        versions = zip(await self._read_all(repository, tags), tags, strict=True)
        found = [(version, tag) for version, tag in versions if version is not None]
        latest, tag = max(found, key=lambda pair: created_at(pair[0])) if found else (None, None)
        self._latest[repository] = (tags, tag)
        if len(self._latest) > _CACHED_LATEST:
            self._latest.popitem(last=False)
        return latest

    def _check_known(self, repository: str) -> None:
        try:
            self._registry.tags(repository, limit=0)
        except NotFoundError as error:
            raise NotFoundError(f"there is no model {repository}", reason="MODEL_NOT_FOUND") from error

    async def _read_all(self, repository: str, tags: Sequence[Tag]) -> list[Version | None]:
        """Return what each tag names; None where that cannot be read."""
        found: dict[Digest, Version | None] = {}
        unknown: list[FetchedManifest] = []
        for tag in tags:
            if tag.digest not in found:
                found[tag.digest] = self._known(Reference(repository), tag.digest)
                if found[tag.digest] is None:
                    unknown += self._manifest(repository, tag.digest)
        if unknown:
            found |= await self._with(Reference(repository), lambda client: self._add_all(client, repository, unknown))
        return [
            replace(version, reference=Reference(repository, tag=tag.name)) if (version := found[tag.digest]) else None
            for tag in tags
        ]

    def _manifest(self, repository: str, digest: Digest) -> list[FetchedManifest]:
        try:
            stored = self._registry.manifest(repository, digest)
        except KleverError:  # damaged, or deleted meanwhile: the registry tells of it
            return []
        return [FetchedManifest(stored.media_type, stored.digest, stored.content)]

    def _add_all(
        self, client: RegistryClient, repository: str, manifests: list[FetchedManifest]
    ) -> dict[Digest, Version | None]:
        found: dict[Digest, Version | None] = {}
        for manifest in manifests:
            try:
                found[manifest.digest] = self._add(client, Reference(repository), manifest)
            except (InvalidError, NotFoundError):
                found[manifest.digest] = None
        return found


def created_at(version: Version) -> datetime:
    """Return when a version was created, as its metadata says; the beginning of time if it does not."""
    try:
        return parse_time(version.metadata.created)
    except ValueError:
        return _NEVER
