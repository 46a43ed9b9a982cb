"""The blobs of all repositories: who may read which, how they come, and how the unused and the damaged go."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from klever.errors import KleverError, NotFoundError
from klever.oci.digest import Digest
from klever.registry.content import Content
from klever.registry.index import Index
from klever.registry.threads import Threads
from klever.registry.uploads import Upload, Uploads

__all__ = ["Blob", "Blobs", "Collected"]

_BATCH: Final = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that a repository may read: its file, and its size in bytes."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed."""

    links: int
    blobs: int
    bytes: int


class Blobs:
    """Blobs by repository and digest.

    A blob that no manifest of its repository needs goes `grace` seconds after it was pushed, mounted, or asked for:
    the time that a client has between a blob and the manifest that lists it.
    """

    def __init__(
        self, root: Path, index: Index, threads: Threads, *, grace: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.uploads = Uploads(root, threads)
        self._content = Content(root)
        self._index = index
        self._threads = threads
        self._grace = grace
        self._clock = clock
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    def find(self, repository: str, digest: Digest) -> Blob:
        """The repository's blob; raises `NotFoundError`, also for one that was found damaged: a push replaces it."""
        link = self._index.link(repository, digest)
        if link is None or not self._content.has(digest):
            raise NotFoundError(f"blob {digest} is not in {repository}", reason="BLOB_UNKNOWN")
        return Blob(self._content.path(digest), link.size)

    async def find_to_keep(self, repository: str, digest: Digest) -> Blob:
        """`find` for a client that will not push what is there: the time of grace begins anew."""
        blob = self.find(repository, digest)
        link = self._index.link(repository, digest)
        if link is not None and link.touched < self._clock() - self._grace / 2:
            await self._index.add_link(repository, digest, link.size)
        return blob

    async def missing(self, digests: list[Digest]) -> list[Digest]:
        """Those whose bytes are not here, links or not."""
        return await self._threads.submit(lambda: [digest for digest in digests if not self._content.has(digest)])

    async def finish(self, repository: str, upload: Upload, digest: Digest) -> int:
        """Turn a complete upload into the repository's blob `digest`; returns its size.

        The blob is durable then. Raises `IntegrityError` if it is not what its digest says, `ExhaustedError` on a
        full disk; nothing is left of the upload then.
        """
        async with self._lock(digest):
            try:
                await upload.verify(digest)
                await self._threads.submit(self._content.place, upload.path, digest)
                await self._index.add_link(repository, digest, upload.offset)
            except KleverError:
                await self.uploads.discard(upload)
                await self._remove_if_unlinked(digest)
                raise
        self.uploads.forget(upload)
        return upload.offset

    async def mount(self, source: str, repository: str, digest: Digest) -> bool:
        """Let `repository` read a blob of `source`; returns whether there is one."""
        return self._content.has(digest) and await self._index.mount(source, repository, digest)

    async def delete(self, repository: str, digest: Digest) -> None:
        """Take a blob from a repository; its space is free then, unless another has it too.

        Raises `NotFoundError`, or `FailedPreconditionError` while a manifest needs it.
        """
        async with self._lock(digest):
            await self._index.remove_link(repository, digest)
            await self._remove_if_unlinked(digest)

    async def collect(self) -> Collected:
        """Remove what is out of its grace and needed by no manifest. Pushes and pulls go on meanwhile."""
        links = await self._index.drop_links(self._clock() - self._grace)
        blobs = size = 0
        for digests in _batches(await self._threads.submit(self._content.digests)):
            for digest in await self._index.unlinked(digests):
                async with self._lock(digest):  # against an upload of the same, between its file and its link
                    removed = await self._remove_if_unlinked(digest)
                blobs, size = blobs + (removed is not None), size + (removed or 0)
        return Collected(links, blobs, size)

    async def scrub(self) -> list[Digest]:
        """Read every blob and set the damaged aside, so that nobody can pull them; returns those."""
        damaged = []
        for digest in await self._threads.submit(self._content.digests):
            async with self._lock(digest):
                if await self._threads.submit(self._content.quarantine_if_bad, digest):
                    _log.error("blob %s does not match its digest any more: set aside, push it again", digest)
                    damaged.append(digest)
        return damaged

    async def _remove_if_unlinked(self, digest: Digest) -> int | None:
        if self._index.is_linked(digest):
            return None
        return await self._threads.submit(self._content.remove, digest)

    def _lock(self, digest: Digest) -> asyncio.Lock:
        """Held by who makes or removes the file of `digest`, or its last link."""
        return self._locks.setdefault(digest, asyncio.Lock())


def _batches(digests: list[Digest]) -> Iterator[list[Digest]]:
    iterator = iter(digests)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
