"""The catalogue of the embedded registry, which it reads and writes in process.

A page of versions reads only the manifests of the page, however many versions a model has.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, ParamSpec, TypeVar

from klever.artifacts.dialects import config_media_types
from klever.catalog.catalogue import MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, Attachment, Catalogue, Push, Version
from klever.catalog.pages import read_by_time, read_page
from klever.catalog.reader import VersionReader
from klever.changes import Broadcast
from klever.disk import disk_errors
from klever.errors import InvalidError, KleverError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci.digest import Digest
from klever.oci.manifest import Descriptor, Manifest
from klever.oci.reference import Reference
from klever.registry.events import Event, PushEvent
from klever.registry.records import Precondition, StoredManifest, Tag
from klever.registry.registry import Registry

__all__ = ["EmbeddedCatalogue", "Pushes"]

_PAGE: Final = 1000
"""How many names are read at once. Other tasks run in between."""
_CHUNK: Final = 8
"""How many versions are read at a time."""
_CANDIDATES: Final = 4
"""How many of the most recently pushed tags are searched for the latest version."""
_CACHED_LATEST: Final = 4096
_WAITING: Final = 10_000
_LONG: Final = 64 << 10
"""Bytes of a manifest that take a millisecond to read. One of 256 KiB takes 30 ms."""

P = ParamSpec("P")
T = TypeVar("T")


class Pushes:
    """Queues the registry's pushes for the catalogue. `listen` waits while 10,000 are queued."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Push] = asyncio.Queue(_WAITING)
        self.changed = Broadcast[str]()
        """Tells the repositories of pushes and deletions."""

    async def listen(self, event: Event) -> None:
        """Queue an event. Pass this as the listener of a `Registry`."""
        self.changed.tell(event.repository)
        if isinstance(event, PushEvent) and event.tag:
            push = Push(event.repository, event.tag, event.digest, event.media_type, event.config_media_type)
            await self._queue.put(push)

    async def next(self) -> Push:
        return await self._queue.get()


class EmbeddedCatalogue(Catalogue):
    """Reads `registry` and yields its `pushes`. `remote` handles references with a host."""

    def __init__(self, registry: Registry, pushes: Pushes, remote: Catalogue, *, limits: Limits = DEFAULTS) -> None:
        self._registry = registry
        self._pushes = pushes
        self._remote = remote
        self._limits = limits
        self._reader = VersionReader(limits)
        self._latest: OrderedDict[str, tuple[list[Tag], Tag | None]] = OrderedDict()

    async def projects(self) -> dict[str, int]:
        return dict(Counter(name.partition("/")[0] for name in await self.models()))

    async def models(self, project: str = "") -> list[str]:
        prefix = f"{project}/" if project else ""
        names, after = [], prefix
        while page := self._registry.repositories(after=after, limit=_PAGE):
            names += [name for name in page if name.startswith(prefix) and "/" in name]
            after = page[-1]
            if not after.startswith(prefix):
                break
            await asyncio.sleep(0)
        return names

    async def count(self, repository: str) -> int:
        return self._registry.count_tags(repository)

    async def versions(
        self, repository: str, *, containing: str = "", offset: int, limit: int
    ) -> tuple[list[Version | None], bool]:
        self._check_known(repository)
        tags = self._registry.tagged(
            repository, config_media_types(), containing=containing, offset=offset, limit=limit + 1
        )
        page = await read_page(tags[:limit], partial(self._read_all, repository), chunk=_CHUNK)
        return page, len(tags) > len(page)

    async def versions_by_time(self, repository: str, *, containing: str = "") -> list[Version]:
        self._check_known(repository)
        most = self._limits.versions_by_time
        tags = self._registry.tagged(repository, config_media_types(), containing=containing, offset=0, limit=most + 1)
        if len(tags) > most:
            count = max(await self.count(repository), most + 1)
            self._limits.check("versions_by_time", count, f"the model {repository}", "order_by")
        return await read_by_time(tags, partial(self._read_all, repository), repository, self._limits, chunk=_CHUNK)

    async def latest(self, repository: str) -> Version | None:
        """Return the newest of the most recently pushed versions; None if none of these is a model."""
        tags = self._registry.newest(repository, config_media_types(), limit=_CANDIDATES)
        known = self._latest.get(repository)
        if known is not None and known[0] == tags:
            return (await self._read_all(repository, [known[1]]))[0] if known[1] else None
        versions = zip(await self._read_all(repository, tags), tags, strict=True)
        found = [(version, tag) for version, tag in versions if version is not None]
        latest, tag = max(found, key=lambda pair: pair[0].created) if found else (None, None)
        self._latest[repository] = (tags, tag)
        if len(self._latest) > _CACHED_LATEST:
            self._latest.popitem(last=False)
        return latest

    async def resolve(self, reference: Reference) -> Version:
        if reference.host:
            return await self._remote.resolve(reference)
        if reference.digest is not None and (known := self._reader.known(reference, reference.digest)):
            return known
        return await self._read(reference, self._manifest(reference))

    async def attachments(self, version: Version, artifact_type: str) -> list[Attachment]:
        if version.reference.host:
            return await self._remote.attachments(version, artifact_type)
        repository = version.reference.repository
        pushed, _ = await self._registry.referrers(
            repository, version.digest, artifact_type=artifact_type, limit=MAX_ATTACHMENTS
        )
        found, left = list[Attachment](), MAX_ATTACHMENT_BYTES
        for referrer in pushed:
            with suppress(KleverError):  # damaged, or deleted meanwhile
                stored = self._registry.manifest(repository, str(referrer.digest))
                manifest = await asyncio.to_thread(Manifest.parse, stored.content)
                if len(manifest.layers) == 1 and manifest.layers[0].size <= left:
                    found.append(Attachment(await self._blob(repository, manifest.layers[0]), manifest.annotations))
                    left -= manifest.layers[0].size
        return found

    async def tag(self, version: Version, tag: str, expected: Digest | None) -> None:
        if version.reference.host:
            return await self._remote.tag(version, tag, expected)
        manifest = self._manifest(version.pinned)
        precondition = Precondition(expected)
        repository = version.reference.repository
        await self._registry.put_manifest(
            repository, tag, manifest.content, manifest.media_type, precondition=precondition
        )
        return None

    async def delete(self, reference: Reference, *, force: bool = False) -> None:
        if reference.host:
            return await self._remote.delete(reference, force=force)
        try:
            return await self._registry.delete(reference.repository, reference.target, force=force)
        except NotFoundError as error:
            raise _missing(reference, error) from error

    async def check_unused(self, reference: Reference) -> None:
        if reference.host:
            return await self._remote.check_unused(reference)
        try:
            return await self._registry.check_unused(reference.repository, reference.target)
        except NotFoundError as error:
            raise _missing(reference, error) from error

    async def contents(self) -> AsyncIterator[Digest]:
        async for repository, tag in self._tags():
            reference = Reference(repository, tag=tag.name).with_digest(tag.digest)
            content = await self._content(reference, tag.digest)
            if content is not None:
                yield content
            await asyncio.sleep(0)  # known entries are read without waiting, so give other tasks a turn

    async def changes(self) -> AsyncIterator[str]:
        async for repository in self._pushes.changed.watch([""]):
            yield repository

    async def notifications(self) -> AsyncIterator[Push]:
        async for repository, tag in self._tags():
            yield Push(repository, tag.name, tag.digest, new=False)
        while True:
            yield await self._pushes.next()

    async def _tags(self) -> AsyncIterator[tuple[str, Tag]]:
        """Yield every tag that names a model, with its repository."""
        types = config_media_types()
        for repository in await self.models():
            offset = 0
            while tags := self._registry.tagged(repository, types, offset=offset, limit=_PAGE):
                for tag in tags:
                    yield repository, tag
                offset += len(tags)

    def _check_known(self, repository: str) -> None:
        try:
            self._registry.tags(repository, limit=0)
        except NotFoundError as error:
            raise NotFoundError(f"model {repository} not found", reason="MODEL_NOT_FOUND") from error

    async def _read_all(self, repository: str, tags: Sequence[Tag]) -> list[Version | None]:
        """Return the version of each tag; None if it cannot be read."""
        return [await self._readable(Reference(repository, tag=tag.name), tag.digest) for tag in tags]

    async def _readable(self, reference: Reference, digest: Digest) -> Version | None:
        """Return the summary of the version that a tag named when the tags were listed. It may have moved since."""
        if known := self._reader.summary(reference, digest):
            return known
        if self._reader.is_unreadable(digest):
            return None
        try:
            version = await self.resolve(reference.with_digest(digest))
        except InvalidError:
            self._reader.refuse(digest)
            return None
        except KleverError:  # damaged, or deleted meanwhile
            return None
        return replace(version.summary, reference=reference)

    async def _content(self, reference: Reference, digest: Digest) -> Digest | None:
        """Return the identity of a version's content; None if the version cannot be read."""
        if known := self._reader.summary(reference, digest):
            return known.content
        if self._reader.is_unreadable(digest):
            return None
        try:
            content = self._manifest(reference).content
            return await _for_long(len(content), self._reader.content, reference, content)
        except InvalidError:
            self._reader.refuse(digest)
        except KleverError:  # damaged, or deleted meanwhile
            pass
        return None

    def _manifest(self, reference: Reference) -> StoredManifest:
        self._reader.check_size(reference, self._registry.manifest_size(reference.repository, reference.target))
        try:
            return self._registry.manifest(reference.repository, reference.target)
        except NotFoundError as error:
            raise _missing(reference, error) from error

    async def _read(self, reference: Reference, stored: StoredManifest) -> Version:
        if known := self._reader.known(reference, stored.digest):
            return known
        manifest = await _for_long(len(stored.content), self._reader.parse, reference, stored.content)
        config = await self._blob(reference.repository, manifest.config)
        return await asyncio.to_thread(self._reader.read, reference, stored.digest, manifest, config)

    async def _blob(self, repository: str, wanted: Descriptor) -> bytes:
        blob = await self._registry.blobs.find(repository, wanted.digest)
        if blob.size != wanted.size or (blob.check is not None and not await asyncio.shield(blob.check)):
            raise NotFoundError(f"the blob {wanted.digest} of {repository} is damaged: push it again")
        with disk_errors(blob.path):
            return await asyncio.to_thread(blob.path.read_bytes)


async def _for_long(size: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `read`, in a thread if it reads so many bytes that others would wait for it."""
    return await asyncio.to_thread(read, *args, **kwargs) if size > _LONG else read(*args, **kwargs)


def _missing(reference: Reference, error: NotFoundError) -> NotFoundError:
    return NotFoundError(f"{reference} is not in the registry: {error.message}", reason="MODEL_NOT_FOUND")
