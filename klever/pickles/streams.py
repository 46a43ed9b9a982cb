"""Reads files of a model in bounded steps, and never trusts the sizes that they state."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import lz4.frame

from klever.limits import Limits

__all__ = ["CODECS", "Budget", "BudgetError", "DamagedError", "Inflated", "Reader", "Source"]

BLOCK: Final = 1 << 16
_XZ_MEMORY: Final = 128 << 20
"""The largest dictionary of an xz stream in bytes."""


class DamagedError(Exception):
    """The content is damaged. The message says where."""


class BudgetError(Exception):
    """The inspection has reached a limit, which the message names."""


@dataclass(slots=True)
class Budget:
    """The remaining limits of one model."""

    bytes: int
    opcodes: int
    members: int

    @classmethod
    def of(cls, limits: Limits) -> Budget:
        return cls(limits.inspected_bytes, limits.inspected_opcodes, limits.model_files)

    def read(self, count: int) -> None:
        self.bytes -= count
        if self.bytes < 0:
            raise BudgetError("the limit inspected_bytes is reached")

    def opcode(self) -> None:
        self.opcodes -= 1
        if self.opcodes < 0:
            raise BudgetError("the limit inspected_opcodes is reached")

    def member(self) -> None:
        self.members -= 1
        if self.members < 0:
            raise BudgetError("the limit model_files is reached")


class Source(Protocol):
    """A stream of bytes that is read from its beginning."""

    def read(self, size: int, /) -> bytes: ...


class Reader:
    """Exact reads of a source, charged to a budget. It keeps only one block, however much is skipped."""

    def __init__(self, source: Source, budget: Budget) -> None:
        self._source = source
        self._budget = budget
        self._block = b""
        self._at = 0
        self.position = 0

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, which the caller has bounded."""
        if size <= len(self._block) - self._at:
            start, self._at = self._at, self._at + size
            self.position += size
            return self._block[start : self._at]
        found = []
        while size > 0:
            part = self.take(size)
            found.append(part)
            size -= len(part)
        return b"".join(found)

    def skip(self, size: int) -> None:
        while size > 0:
            size -= len(self.take(size))

    def line(self, keep: int) -> bytes | None:
        """Return a line without its end; None if it has more than `keep` bytes."""
        line: bytes | None = b""
        while True:
            self._fill()
            end = self._block.find(b"\n", self._at)
            part = self.take((end if end >= 0 else len(self._block)) - self._at) if end != self._at else b""
            line = line + part if line is not None and len(line) + len(part) <= keep else None
            if end >= 0:
                self.take(1)
                return line

    def ended(self) -> bool:
        try:
            self._fill()
        except DamagedError:
            return True
        return False

    def take(self, size: int) -> bytes:
        """Return at least one byte, and at most `size`."""
        self._fill()
        part = self._block[self._at : self._at + size]
        self._at += len(part)
        self.position += len(part)
        return part

    def _fill(self) -> None:
        if self._at < len(self._block):
            return
        self._block, self._at = self._source.read(BLOCK), 0
        if not self._block:
            raise DamagedError(f"the file ends at byte {self.position}")
        self._budget.read(len(self._block))


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Zlib:
    """zlib and gzip streams with the interface of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(47)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


class _Lz4:
    """LZ4 frames with the interface of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data or b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return bytes(self._frame.decompress(data, max_length))
        except RuntimeError as error:
            raise ValueError(str(error)) from error


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


CODECS: Final[tuple[tuple[bytes, Callable[[], _Decompressor]], ...]] = (
    (b"\x1f\x8b", _Zlib),
    (b"x\x01", _Zlib),
    (b"x\x5e", _Zlib),
    (b"x\x9c", _Zlib),
    (b"x\xda", _Zlib),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", _xz),
    (b"\x5d\x00\x00", _xz),
    (b"\x04\x22\x4d\x18", _Lz4),
)
"""The first bytes of compressed streams (joblib's zlib, gzip, bz2, xz, lzma and lz4), and their decompressors."""


class Inflated:
    """A source that decompresses another one, one block at a time, member after member."""

    def __init__(self, source: Source, make: Callable[[], _Decompressor]) -> None:
        self._source = source
        self._make = make
        self._decompressor = make()
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        """Return some bytes; none at the end. Raises `DamagedError`."""
        try:
            return self._read(size)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
            raise DamagedError(f"cannot decompress it: {error}") from error

    def _read(self, size: int) -> bytes:
        while True:
            if self._decompressor.eof:
                self._waiting = self._decompressor.unused_data.lstrip(b"\0")
                if not self._waiting and not (data := self._source.read(BLOCK)):
                    return b""
                self._waiting = self._waiting or data
                self._decompressor = self._make()
            found = self._decompressor.decompress(self._waiting, size)
            self._waiting = b""
            if found:
                return found
            if not self._decompressor.eof:
                self._waiting = self._source.read(BLOCK)
                if not self._waiting:
                    raise DamagedError("the file ends within a compressed stream")
