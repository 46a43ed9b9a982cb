"""Blobs on disk, by digest. A blob is complete, verified and durable, or absent.

    ROOT/blobs/ALGORITHM/HEX        content of all repositories
    ROOT/quarantine/ALGORITHM/HEX   content that no longer matched its digest

All calls block.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from klever.disk import disk_errors, fsync
from klever.errors import NotFoundError
from klever.oci.blobs import BLOCK
from klever.oci.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Content", "Reader", "hash_file"]

_ALGORITHMS: Final = ("sha256", "sha512")
_BLOCKS: Final = 16
"""How many blocks a reader hashes in one call: a few milliseconds of a thread."""


class Content:
    """The blobs below `root`."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._quarantine = root / "quarantine"
        with disk_errors(root):
            for directory in (d / algorithm for d in (self._blobs, self._quarantine) for algorithm in _ALGORITHMS):
                directory.mkdir(parents=True, exist_ok=True)
                fsync(directory.parent)
            fsync(root)

    def path(self, digest: Digest) -> Path:
        """Return the path of the blob, whether it exists or not."""
        return self._blobs / digest.algorithm / digest.hex

    def stat(self, digest: Digest) -> os.stat_result | None:
        """Return the state of the blob's file; None if it does not exist."""
        path = self.path(digest)
        with disk_errors(path):
            try:
                return path.stat()
            except FileNotFoundError:
                return None

    def reader(self, digest: Digest) -> Reader:
        """Open the blob to verify it; raises `NotFoundError`."""
        path = self.path(digest)
        with disk_errors(path):
            try:
                return Reader(path, digest)
            except FileNotFoundError as error:
                raise NotFoundError(f"blob {digest} not found", reason="BLOB_UNKNOWN") from error

    def place(self, file: Path, digest: Digest) -> os.stat_result:
        """Move `file`, which the caller has verified, into place durably. Return the file's new state."""
        target = self.path(digest)
        with disk_errors(target):
            fsync(file)
            file.replace(target)
            fsync(target.parent)
            return target.stat()

    def remove(self, digest: Digest) -> int:
        """Delete the blob. Return its size in bytes, 0 if it did not exist."""
        path = self.path(digest)
        with disk_errors(path):
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
        return size

    def digests(self) -> list[Digest]:
        """Return the digest of every blob."""
        with disk_errors(self._blobs):
            return [Digest(f"{name}:{path.name}") for name in _ALGORITHMS for path in (self._blobs / name).iterdir()]

    def quarantine(self, digest: Digest, damaged: os.stat_result) -> bool:
        """Quarantine the blob if its file is still `damaged`. Return whether it was."""
        path = self.path(digest)
        with disk_errors(path):
            try:
                if path.stat().st_ino != damaged.st_ino:
                    return False  # a push has replaced it meanwhile
                path.replace(self._quarantine / digest.algorithm / digest.hex)
            except FileNotFoundError:
                return False
            fsync(path.parent)
        return True


class Reader:
    """A context manager that hashes one blob's file, piece by piece."""

    def __init__(self, path: Path, digest: Digest) -> None:
        self._path = path
        self._digest = digest
        self._file = path.open("rb", buffering=0)
        self._hasher = digest.hasher()
        self._block = memoryview(bytearray(BLOCK))
        self._readable = True
        self.stat = os.fstat(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self) -> bool:
        """Hash the next megabytes. Return whether more may follow."""
        with disk_errors(self._path):
            try:
                for _ in range(_BLOCKS):
                    count = self._file.readinto(self._block)
                    if not count:
                        return False
                    self._hasher.update(self._block[:count])
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._readable = False  # a bad sector counts as damage
        return self._readable

    def matches(self) -> bool:
        """Whether the file, which must be read completely, matches its digest and did not change meanwhile."""
        now = os.fstat(self._file.fileno())
        unchanged = (now.st_size, now.st_mtime_ns) == (self.stat.st_size, self.stat.st_mtime_ns)
        return self._readable and unchanged and self._hasher.hexdigest() == self._digest.hex


def hash_file(path: Path, hasher: _Hash) -> None:
    """Feed the whole file to `hasher`, a block at a time."""
    block = memoryview(bytearray(4 * BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            hasher.update(block[:count])
