"""Writes blobs to disk. They are hashed on the way, and appear only when they are complete, verified and durable."""

from __future__ import annotations

import os
import queue
import tempfile
import threading
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from klever.disk import disk_errors, fsync
from klever.errors import IntegrityError
from klever.oci.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["BLOCK", "BlobWriter", "HashThread", "VerifiedReader", "write_all"]

BLOCK: Final = 256 << 10
"""Bytes moved at a time: measured as the best size for sockets, hashing and files."""

_BLOCKS_AHEAD: Final = 8


class HashThread:
    """Hashes blocks in parallel to the thread that moves them. At most 8 blocks wait."""

    def __init__(self, hasher: _Hash) -> None:
        self._hasher = hasher
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_BLOCKS_AHEAD)
        self._thread = threading.Thread(target=self._run, name="blob-hash", daemon=True)
        self._thread.start()

    def update(self, block: bytes) -> None:
        self._blocks.put(block)

    def close(self) -> Digest:
        """Wait for all blocks and return their digest."""
        if self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()
        return Digest.of_hash(self._hasher)

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._hasher.update(block)


class VerifiedReader:
    """A context manager that reads `file` and verifies its digest at the end."""

    def __init__(self, file: BinaryIO, digest: Digest) -> None:
        self._file = file
        self._digest = digest
        self._hash = HashThread(digest.hasher())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hash.close()

    def read(self, count: int) -> bytes:
        block = self._file.read(count)
        self._hash.update(block)
        return block

    def verify(self) -> None:
        """Read the rest. Raises `IntegrityError` if the file does not match the digest."""
        while self.read(BLOCK):
            pass
        if self._hash.close() != self._digest:
            raise IntegrityError(f"blob {self._digest} no longer matches its digest: pull it again")


class BlobWriter:
    """A context manager that writes one blob into `directory`, and leaves nothing unless `commit` succeeded.

    If given, `expected` and `size` are the digest and size that the content must have. It rejects bytes beyond `size`
    at once, so that a malicious sender cannot fill the disk.
    """

    def __init__(self, directory: Path, *, expected: Digest | None = None, size: int | None = None) -> None:
        self._directory = directory
        self._expected = expected
        self._size = size
        self._committed = False
        self.written = 0
        with disk_errors(directory):
            handle, name = tempfile.mkstemp(prefix=".partial-", dir=directory)
        self._file = FileIO(handle, "wb")
        self._path = Path(name)
        self._hash = HashThread((expected or Digest.of(b"")).hasher())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hash.close()
        self._file.close()
        if not self._committed:
            self._path.unlink(missing_ok=True)

    def write(self, block: bytes) -> None:
        """Append `block`. Raises `IntegrityError` beyond the size, `ExhaustedError` on a full disk."""
        if self._size is not None and self.written + len(block) > self._size:
            raise IntegrityError(f"{self._name()}: received more than the expected {self._size} bytes")
        self._hash.update(block)
        with disk_errors(self._path):
            write_all(self._file, block)
        self.written += len(block)

    def commit(self) -> Digest:
        """Verify the blob, make it durable and move it to its name, the digest's hex. Return the digest."""
        digest = self._hash.close()
        if self._size is not None and self.written != self._size:
            raise IntegrityError(f"{self._name()}: received {self.written} bytes, expected {self._size}")
        if self._expected is not None and digest != self._expected:
            raise IntegrityError(f"{self._name()}: the received content has the digest {digest}")
        with disk_errors(self._path):
            os.fchmod(self._file.fileno(), 0o644)
            os.fsync(self._file.fileno())
            self._path.rename(self._directory / digest.hex)
            fsync(self._directory)
        self._committed = True
        return digest

    def _name(self) -> str:
        return f"blob {self._expected}" if self._expected else "blob"


def write_all(file: FileIO, block: bytes) -> None:
    """Write all of `block` to an unbuffered file, whose `write` may write only a part."""
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]
