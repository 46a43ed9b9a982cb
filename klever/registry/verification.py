"""Verifies that blobs on disk match their digests. Each file is hashed once, and again only after a change."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from klever.errors import UnavailableError
from klever.oci.digest import Digest
from klever.registry.content import Content
from klever.registry.threads import Threads

__all__ = ["Verifier"]

_REMEMBERED: Final = 16_384  # files, about 400 bytes each
_AT_ONCE: Final = 4
"""Files that are hashed at the same time; each has one buffer."""

Fingerprint = tuple[int, int, int, int]
"""Inode, size, and the times in ns of the last change of content and inode."""


class Verifier:
    """Verifies files of `content` and remembers the result while the process lives.

    A file that does not match its digest is reported to `damaged(digest, its stat)`, once per check.
    """

    def __init__(
        self, content: Content, threads: Threads, damaged: Callable[[Digest, os.stat_result], Awaitable[None]]
    ) -> None:
        self._content = content
        self._threads = threads
        self._damaged = damaged
        self._verified: OrderedDict[Digest, Fingerprint] = OrderedDict()
        self._checks: dict[Digest, asyncio.Task[bool]] = {}
        self._closing = False
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def knows(self, digest: Digest, file: os.stat_result) -> bool:
        """Whether this state of the file was verified."""
        return self._verified.get(digest) == _fingerprint(file)

    def remember(self, digest: Digest, file: os.stat_result) -> None:
        """Record the file as verified."""
        self._verified[digest] = _fingerprint(file)
        self._verified.move_to_end(digest)
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)

    def check(self, digest: Digest) -> asyncio.Task[bool]:
        """Hash the file, or join the running check. The result says whether the file matches its digest.

        The check continues if its callers are cancelled. Raises `UnavailableError` if the disk cannot be read or the
        registry stops, and `NotFoundError` if the file is gone.
        """
        task = self._checks.get(digest)
        if task is None:
            task = asyncio.create_task(self._check(digest), name=f"verify {digest}")
            self._checks[digest] = task
            task.add_done_callback(lambda done: self._checked(digest, done))
        return task

    async def close(self) -> None:
        """End the running checks. Their callers get `UnavailableError`."""
        self._closing = True
        await asyncio.gather(*self._checks.values(), return_exceptions=True)

    def _checked(self, digest: Digest, task: asyncio.Task[bool]) -> None:
        del self._checks[digest]
        if not task.cancelled():
            task.exception()  # its callers get it, if any still wait

    async def _check(self, digest: Digest) -> bool:
        async with self._turns:
            with await self._threads.submit(self._content.reader, digest) as reader:
                while await self._threads.submit(reader.read):
                    if self._closing:
                        raise UnavailableError("the registry is stopping")
                if reader.matches():
                    self.remember(digest, reader.stat)
                    return True
        await self._damaged(digest, reader.stat)
        return False


def _fingerprint(file: os.stat_result) -> Fingerprint:
    return (file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
