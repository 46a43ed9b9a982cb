"""Upload sessions. Each is a file that survives a restart, so that a client can resume after a disconnect.

ROOT/uploads/ID.OWNER    the bytes received; OWNER is a hash of the repository, so that no other one reaches them
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from klever.disk import disk_errors
from klever.errors import ExhaustedError, IntegrityError, KleverError, NotFoundError
from klever.limits import Limits
from klever.oci.blobs import write_all
from klever.oci.digest import Digest
from klever.registry.content import hash_file
from klever.registry.threads import Threads
from klever.registry.usage import project_name

__all__ = ["Parts", "Upload", "Uploads", "too_large"]

Parts = Sequence[bytes]
"""Pieces of a body, about 512 KiB in total, written and hashed in one call."""

_ID: Final = re.compile(r"[0-9a-f]{32}")


class Upload:
    """One session. `offset` is the number of bytes received. A caller that changes it holds `lock`."""

    def __init__(self, identifier: str, repository: str, path: Path, offset: int, threads: Threads) -> None:
        self.identifier = identifier
        self.repository = repository
        self.path = path
        self.offset = offset
        self.lock = asyncio.Lock()
        self._threads = threads
        self._sha256 = hashlib.sha256()
        self._hashed = 0  # bytes that _sha256 has seen; valid only while it equals `offset`

    async def append(self, blocks: AsyncIterator[Parts], limit: int, admit: Callable[[int], None]) -> None:
        """Append `blocks`. Receiving a block overlaps with hashing and writing the previous one.

        `admit` raises an error if the project has no room for a number of bytes. Bytes received before a disconnect
        stay. Raises `ExhaustedError` on a full disk or beyond `limit` bytes in total, and then removes these blocks.
        """
        start = self.offset
        try:
            await self._write_all(blocks, limit, admit)
        except ExhaustedError:
            await self._threads.submit(self._truncate, start)
            raise

    async def verify(self, digest: Digest) -> None:
        """Raise `IntegrityError` unless the bytes match `digest`."""
        found = await self._threads.submit(self._digest, digest)
        if found != digest:
            raise IntegrityError(f"the content's digest is {found}, not {digest}", reason="DIGEST_INVALID")

    async def _write_all(self, blocks: AsyncIterator[Parts], limit: int, admit: Callable[[int], None]) -> None:
        writing: asyncio.Future[None] | None = None
        try:
            async for parts in blocks:
                if writing is not None:
                    await writing
                size = sum(map(len, parts))
                if self.offset + size > limit:
                    raise too_large(limit)
                admit(size)
                writing = self._threads.submit(self._write, parts)
        finally:
            if writing is not None:
                await writing

    def _write(self, parts: Parts) -> None:
        with _file_errors(self.path), self.path.open("r+b", buffering=0) as file:
            file.seek(self.offset)
            for part in parts:
                write_all(file, part)
                if self._hashed == self.offset:
                    self._sha256.update(part)
                    self._hashed += len(part)
                self.offset += len(part)

    def _truncate(self, size: int) -> None:
        with _file_errors(self.path):
            os.truncate(self.path, size)
        self.offset = size
        self._hashed = -1  # _sha256 has seen removed bytes: must never equal `offset` again

    def _digest(self, wanted: Digest) -> Digest:
        hasher = wanted.hasher()
        with _file_errors(self.path):
            if wanted.algorithm == "sha256" and self._hashed == self.path.stat().st_size:
                return Digest.of_hash(self._sha256)
            hash_file(self.path, hasher)
        return Digest.of_hash(hasher)


class Uploads:
    """The sessions below `root`."""

    def __init__(self, root: Path, threads: Threads, limits: Limits) -> None:
        self._limits = limits
        self._directory = root / "uploads"
        self._threads = threads
        self._open: dict[Path, Upload] = {}
        with disk_errors(root):
            self._directory.mkdir(exist_ok=True)

    async def start(self, repository: str) -> Upload:
        """Open a new session. Raises `ExhaustedError` if the disk is full or too many are open."""
        identifier = uuid.uuid4().hex
        upload = Upload(identifier, repository, self._path(repository, identifier), 0, self._threads)
        self._check_room(repository, upload.path.suffix)
        self._open[upload.path] = upload  # counted before concurrent starts check the limit
        try:
            await self._threads.submit(_create, upload.path)
        except KleverError:
            self.forget(upload)
            raise
        return upload

    async def find(self, repository: str, identifier: str) -> Upload:
        """Return the repository's session. Raises `NotFoundError`."""
        path = self._path(repository, identifier)
        if path not in self._open:
            size = await self._threads.submit(_size, path) if _ID.fullmatch(identifier) else None
            if size is None:
                raise NotFoundError(f"upload {identifier} not found in {repository}", reason="BLOB_UPLOAD_UNKNOWN")
            self._open.setdefault(path, Upload(identifier, repository, path, size, self._threads))
        return self._open[path]

    def project_bytes(self, project: str) -> int:
        """Return the number of bytes that the open sessions of a project have received."""
        return sum(upload.offset for upload in self._open.values() if project_name(upload.repository) == project)

    def forget(self, upload: Upload) -> None:
        """Remove a session whose file has become a blob."""
        self._open.pop(upload.path, None)

    async def discard(self, upload: Upload) -> None:
        """End the session and delete its bytes."""
        self.forget(upload)
        await self._threads.submit(_remove, upload.path)

    async def expire(self, age: float) -> int:
        """Discard the sessions without a write for `age` seconds. Return their number."""
        stale = await self._threads.submit(self._older_than, time.time() - age)
        for path in stale:
            upload = self._open.get(path)
            if upload is None or not upload.lock.locked():
                self._open.pop(path, None)
                await self._threads.submit(_remove, path)
        return len(stale)

    def _check_room(self, repository: str, owner: str) -> None:
        own = sum(path.suffix == owner for path in self._open)
        for name, most, used, where in (
            ("upload_sessions", self._limits.upload_sessions, len(self._open), "in the registry"),
            ("upload_sessions_per_repository", self._limits.upload_sessions_per_repository, own, f"in {repository}"),
        ):
            if used >= most:
                raise ExhaustedError(
                    f"{used} uploads are open {where}, and the limit {name} is {most}: finish or cancel some, or start "
                    f"the platform with a larger --limit {name}",
                    reason="TOOMANYREQUESTS",
                )

    def _older_than(self, moment: float) -> list[Path]:
        with disk_errors(self._directory):
            return [path for path in self._directory.iterdir() if _touched(path) < moment]

    def _path(self, repository: str, identifier: str) -> Path:
        owner = hashlib.sha256(repository.encode()).hexdigest()
        return self._directory / f"{identifier}.{owner}"


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Like `disk_errors`, and a missing file means that another request has finished or canceled the upload."""
    with disk_errors(path):
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError("the upload has ended", reason="BLOB_UPLOAD_UNKNOWN") from error


def too_large(limit: int) -> ExhaustedError:
    """Return the error of a blob with more bytes than the limit."""
    return ExhaustedError(
        f"the blob has more than {limit} bytes, the limit blob_bytes: push smaller blobs, or start the platform with a "
        "larger --limit blob_bytes=BYTES",
        reason="TOO_LARGE",
    )


def _create(path: Path) -> None:
    with disk_errors(path):
        path.touch(exist_ok=False)


def _remove(path: Path) -> None:
    with disk_errors(path):
        path.unlink(missing_ok=True)


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf  # it has become a blob


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
