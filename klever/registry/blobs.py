"""The blobs of all repositories: access, uploads, and the removal of unused and damaged ones."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from klever.errors import ExhaustedError, KleverError, NotFoundError
from klever.limits import DEFAULTS, Limits
from klever.oci.digest import Digest
from klever.oci.manifest import Descriptor
from klever.registry.content import Content
from klever.registry.index import Index
from klever.registry.records import Link
from klever.registry.threads import Threads
from klever.registry.uploads import Upload, Uploads
from klever.registry.usage import Usage, project_name
from klever.registry.verification import Verifier

__all__ = ["Blob", "Blobs", "Collected"]

_BATCH: Final = 1000
_AT_ONCE: Final = 1 << 20
"""A blob of at most so many bytes is verified before the response: a millisecond's work."""
_PATIENCE: Final = 2.0
"""Seconds that a client waits for the verification of an existing blob before it skips its push."""
_NAMED: Final = 5
"""How many repositories of a damaged blob the log names."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that a repository may read: its file, and its size in bytes.

    `check` is None if the file is known to match its digest. Otherwise it is the running check: a sender must not
    complete the content before the result is True.
    """

    path: Path
    size: int
    check: asyncio.Task[bool] | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """The result of a collection."""

    links: int
    blobs: int
    bytes: int


class Blobs:
    """Blobs by repository and digest.

    A blob that no manifest of its repository needs is removed `grace` seconds after it was last pushed, mounted or
    requested. A client must push the manifest that lists a blob within this time.
    """

    def __init__(
        self,
        root: Path,
        index: Index,
        threads: Threads,
        *,
        grace: float,
        clock: Callable[[], float] = time.time,
        limits: Limits = DEFAULTS,
    ) -> None:
        self.uploads = Uploads(root, threads, limits)
        self._limits = limits
        self._usage = Usage(index.project_bytes)
        self._content = Content(root)
        self._index = index
        self._threads = threads
        self._grace = grace
        self._clock = clock
        self._verifier = Verifier(self._content, threads, self._set_aside)
        self.damaged = 0
        """How many blobs were quarantined since the start."""
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def find(self, repository: str, digest: Digest) -> Blob:
        """Return the repository's blob after checking its size and, if it is small, its content.

        Raises `NotFoundError`, also for a damaged blob, which is quarantined until a push replaces it.
        """
        blob = self._look_up(repository, digest)
        if blob is None:
            raise NotFoundError(f"blob {digest} not found in {repository}", reason="BLOB_UNKNOWN")
        path, link, file = blob
        if file.st_size != link.size:
            await self._set_aside(digest, file)
            raise _damaged(repository, digest)
        if self._verifier.knows(digest, file):
            return Blob(path, link.size)
        check = self._verifier.check(digest)
        if link.size <= _AT_ONCE and not await asyncio.shield(check):
            raise _damaged(repository, digest)
        return Blob(path, link.size, None if link.size <= _AT_ONCE else check)

    async def find_to_keep(self, repository: str, digest: Digest) -> Blob:
        """`find` for a client that skips the push of an existing blob: verify it and restart its grace period."""
        blob = await self._find_verified(repository, digest)
        link = self._index.link(repository, digest)
        if link is not None and link.touched < self._clock() - self._grace / 2:
            await self._index.add_link(repository, digest, link.size)
        return blob

    async def missing(self, repository: str, blobs: list[Descriptor]) -> list[Digest]:
        """Return the blobs whose bytes are missing or incomplete, although the repository may have links to them."""
        suspects = await self._threads.submit(lambda: [blob for blob in blobs if not self._has(blob)])
        return [blob.digest for blob in suspects if not await self._is_here(repository, blob.digest)]

    async def finish(self, repository: str, upload: Upload, digest: Digest) -> int:
        """Turn a complete upload into the repository's blob `digest`. Return its size when it is durable.

        Raises `IntegrityError` if the content does not match the digest and `ExhaustedError` on a full disk. The upload
        is removed then.
        """
        async with self._lock(digest):
            try:
                await upload.verify(digest)
                file = await self._threads.submit(self._content.place, upload.path, digest)
                self._verifier.remember(digest, file)
                await self._index.add_link(repository, digest, upload.offset)
            except KleverError:
                await self.uploads.discard(upload)
                await self._remove_if_unlinked(digest)
                raise
        self.uploads.forget(upload)
        self._usage.add(repository, upload.offset)
        return upload.offset

    def room(self, repository: str) -> Callable[[int], None]:
        """Return a function that raises `ExhaustedError` if the project has no room for a number of bytes."""
        project, most = project_name(repository), self._limits.project_bytes

        def admit(size: int) -> None:
            received = self.uploads.project_bytes(project)
            if self._usage.bound(project) + received + size <= most:
                return
            used = self._usage.exact(project) + received
            if used + size > most:
                raise ExhaustedError(
                    f"project {project} uses {used} bytes in the registry, and the limit project_bytes is {most}: "
                    "delete versions, or start the platform with a larger --limit project_bytes=BYTES",
                    reason="DENIED",
                    metadata={"limit": "project_bytes"},
                )

        return admit

    async def mount(self, source: str, repository: str, digest: Digest) -> bool:
        """Let `repository` read a blob of `source`. Return False if `source` has no such blob.

        Raises `ExhaustedError` if the project has no room for it.
        """
        try:
            found = await self._find_verified(source, digest)
        except NotFoundError:
            return False
        if project_name(source) != project_name(repository):
            self.room(repository)(found.size)
            self._usage.add(repository, found.size)
        return await self._index.mount(source, repository, digest)

    async def delete(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository. This frees its space unless another repository has it.

        Raises `NotFoundError`, or `FailedPreconditionError` while a manifest needs it.
        """
        async with self._lock(digest):
            await self._index.remove_link(repository, digest)
            self._usage.removed()
            await self._remove_if_unlinked(digest)

    async def collect(self) -> Collected:
        """Remove the blobs that no manifest needs after their grace period. Pushes and pulls continue meanwhile."""
        links = await self._index.drop_links(self._clock() - self._grace)
        self._usage.removed()
        blobs = size = 0
        for digests in _batches(await self._threads.submit(self._content.digests)):
            for digest in await self._index.unlinked(digests):
                async with self._lock(digest):  # excludes an upload of the same blob that has its file but no link yet
                    removed = await self._remove_if_unlinked(digest)
                blobs, size = blobs + (removed is not None), size + (removed or 0)
        return Collected(links, blobs, size)

    async def scrub(self) -> list[Digest]:
        """Read every blob and quarantine the damaged ones, so that no client pulls them. Return their digests."""
        damaged = []
        for digest in await self._threads.submit(self._content.digests):
            try:
                if not await self._verifier.check(digest):
                    damaged.append(digest)
            except NotFoundError:
                continue  # collected meanwhile
        return damaged

    async def close(self) -> None:
        """End the running checks."""
        await self._verifier.close()

    async def _find_verified(self, repository: str, digest: Digest) -> Blob:
        """`find`, after a wait of at most 2 s for the verification, which can take longer for a large blob."""
        blob = await self.find(repository, digest)
        if blob.check is not None:
            done, _ = await asyncio.wait([blob.check], timeout=_PATIENCE)
            if done and not blob.check.result():
                raise _damaged(repository, digest)
        return blob

    def _look_up(self, repository: str, digest: Digest) -> tuple[Path, Link, os.stat_result] | None:
        link = self._index.link(repository, digest)
        file = self._content.stat(digest) if link else None
        return (self._content.path(digest), link, file) if link and file else None

    def _has(self, blob: Descriptor) -> bool:
        file = self._content.stat(blob.digest)
        return file is not None and file.st_size == blob.size

    async def _is_here(self, repository: str, digest: Digest) -> bool:
        try:
            await self.find(repository, digest)
        except NotFoundError:
            return False
        return True

    async def _set_aside(self, digest: Digest, file: os.stat_result) -> None:
        """Quarantine a damaged file, unless a push has replaced it."""
        async with self._lock(digest):
            moved = await self._threads.submit(self._content.quarantine, digest, file)
        if moved:
            self.damaged += 1
            repositories = ", ".join(self._index.linked_repositories(digest, _NAMED)) or "no repository"
            _log.error(
                "blob %s of %s does not match its digest: moved to quarantine, push it again", digest, repositories
            )

    async def _remove_if_unlinked(self, digest: Digest) -> int | None:
        if self._index.is_linked(digest):
            return None
        return await self._threads.submit(self._content.remove, digest)

    def _lock(self, digest: Digest) -> asyncio.Lock:
        """Return the lock for creating or removing the file of `digest` or its last link."""
        return self._locks.setdefault(digest, asyncio.Lock())


def _damaged(repository: str, digest: Digest) -> NotFoundError:
    return NotFoundError(f"blob {digest} of {repository} is damaged: push it again", reason="BLOB_UNKNOWN")


def _batches(digests: list[Digest]) -> Iterator[list[Digest]]:
    iterator = iter(digests)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
