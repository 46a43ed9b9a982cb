"""Blobs on disk, by digest: whole, verified and durable, or not there.

    ROOT/blobs/ALGORITHM/HEX        content of all repositories
    ROOT/quarantine/ALGORITHM/HEX   content that did not match its digest any more

Everything here blocks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from klever.oci.blobs import BLOCK, disk_errors, fsync_directory
from klever.oci.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Content", "hash_file"]

_ALGORITHMS: Final = ("sha256", "sha512")


class Content:
    """The blobs below `root`."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._quarantine = root / "quarantine"
        with disk_errors(root):
            for directory in (d / algorithm for d in (self._blobs, self._quarantine) for algorithm in _ALGORITHMS):
                directory.mkdir(parents=True, exist_ok=True)
                fsync_directory(directory.parent)
            fsync_directory(root)

    def path(self, digest: Digest) -> Path:
        """Where the blob is, if it is there."""
        return self._blobs / digest.algorithm / digest.hex

    def has(self, digest: Digest) -> bool:
        return self.path(digest).is_file()

    def place(self, file: Path, digest: Digest) -> None:
        """Move `file`, verified by the caller, into place; durable on return."""
        target = self.path(digest)
        with disk_errors(target):
            _fsync(file)
            file.replace(target)
            fsync_directory(target.parent)

    def remove(self, digest: Digest) -> int:
        """Delete the blob; returns the bytes that it had, 0 if it was not there."""
        path = self.path(digest)
        with disk_errors(path):
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
        return size

    def digests(self) -> list[Digest]:
        """Every blob that is there."""
        with disk_errors(self._blobs):
            return [Digest(f"{name}:{path.name}") for name in _ALGORITHMS for path in (self._blobs / name).iterdir()]

    def quarantine_if_bad(self, digest: Digest) -> bool:
        """Read the blob; set it aside if it does not match its digest, and say whether that was so."""
        path = self.path(digest)
        hasher = digest.hasher()
        with disk_errors(path):
            try:
                hash_file(path, hasher)
            except FileNotFoundError:
                return False  # collected meanwhile
            if hasher.hexdigest() == digest.hex:
                return False
            path.replace(self._quarantine / digest.algorithm / digest.hex)
            fsync_directory(path.parent)
        return True


def hash_file(path: Path, hasher: _Hash) -> None:
    """Feed the whole file to `hasher`, a block at a time."""
    block = memoryview(bytearray(4 * BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            hasher.update(block[:count])


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
