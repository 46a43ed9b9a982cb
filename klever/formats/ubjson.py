"""Reads the relevant part of a UBJSON file (ubjson.org, Draft 12). Given members are counted and skipped."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from typing import Any, BinaryIO, Final, NoReturn

__all__ = ["UbjsonError", "read_ubjson"]

_MAX_TEXT: Final = 1 << 20
_MAX_KEPT: Final = 16 << 20
"""The most bytes of kept values."""
_MAX_VALUES: Final = 5_000_000
"""The most values of the file, including those that are skipped one by one."""
_MAX_DEPTH: Final = 64
_ITEM: Final = 16
"""How many bytes a value counts."""
_NUMBERS: Final = {b"i": "b", b"U": "B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d", b"C": "c"}
_INTEGERS: Final = b"iUIlL"
_CONSTANTS: Final = {b"Z": None, b"N": None, b"T": True, b"F": False}


class UbjsonError(Exception):
    """The file is not UBJSON, or exceeds a limit. The message says where."""


def read_ubjson(file: BinaryIO, passed_over: Collection[str]) -> Any:
    """Return the value in a file. The value of a member in `passed_over` is the number of its items.

    Raises `UbjsonError`.
    """
    return _Reader(file, passed_over).value()


class _Reader:
    def __init__(self, file: BinaryIO, passed_over: Collection[str]) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._passed_over = passed_over
        self._left = _MAX_KEPT
        self._values = _MAX_VALUES

    def value(self) -> Any:
        return self._value(self._read(1), 0, is_kept=True)

    def _value(self, marker: bytes, depth: int, *, is_kept: bool) -> Any:
        """Return a value, or the number of items of a skipped container."""
        self._count(_ITEM if is_kept else 0)
        if depth > _MAX_DEPTH:
            self._fail(f"it is nested more than {_MAX_DEPTH} levels deep")
        if marker == b"{":
            return self._object(depth, is_kept=is_kept)
        if marker == b"[":
            return self._list(depth, is_kept=is_kept)
        if marker in (b"S", b"H"):
            return self._text(self._length(), is_kept=is_kept)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        return self._number(marker)

    def _object(self, depth: int, *, is_kept: bool) -> Any:
        kind, count = self._head()
        found: dict[str, Any] = {}
        read = 0
        while read != count:
            start = self._read(1)
            if count is None and start == b"}":
                break
            name = self._text(self._integer(start), is_kept=is_kept)
            marker = kind or self._read(1)
            value = self._value(marker, depth + 1, is_kept=is_kept and name not in self._passed_over)
            if is_kept:
                found[name] = value
            read += 1
        return found if is_kept else read

    def _list(self, depth: int, *, is_kept: bool) -> Any:
        kind, count = self._head()
        if kind in _NUMBERS and count is not None and not is_kept:
            self._skip(count * struct.calcsize(_NUMBERS[kind]))
            return count
        found = []
        read = 0
        while read != count:
            marker = kind or self._read(1)
            if count is None and marker == b"]":
                break
            value = self._value(marker, depth + 1, is_kept=is_kept)
            if is_kept:
                found.append(value)
            read += 1
        return found if is_kept else read

    def _head(self) -> tuple[bytes, int | None]:
        """Return the type of all items (empty if each has its own) and their number (None if an end mark follows)."""
        kind = b""
        start = self._read(1)
        if start == b"$":
            kind, start = self._read(1), self._read(1)
            if start != b"#":
                self._fail("the type of items needs their number")
        if start == b"#":
            return kind, self._length()
        self._file.seek(-1, os.SEEK_CUR)
        return kind, None

    def _number(self, marker: bytes) -> Any:
        layout = _NUMBERS.get(marker)
        if layout is None:
            self._fail(f"unknown marker {marker!r}")
        return struct.unpack(layout, self._read(struct.calcsize(layout)))[0]

    def _length(self) -> int:
        return self._integer(self._read(1))

    def _integer(self, marker: bytes) -> int:
        if marker not in _INTEGERS:
            self._fail(f"invalid type {marker!r} of a length")
        length = int(self._number(marker))
        if length < 0 or length > self._size:
            self._fail(f"invalid length {length}")
        return length

    def _text(self, length: int, *, is_kept: bool) -> str:
        if length > _MAX_TEXT:
            self._fail(f"a text must have at most {_MAX_TEXT} bytes, not {length}")
        self._count(length if is_kept else 0)
        content = self._read(length)
        return content.decode(errors="replace") if is_kept else ""

    def _count(self, size: int) -> None:
        self._values -= 1
        self._left -= size
        if self._left < 0 or self._values < 0:
            self._fail("it has too many values")

    def _read(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) < size:
            self._fail("it is truncated")
        return content

    def _skip(self, size: int) -> None:
        if self._file.tell() + size > self._size:
            self._fail("it is truncated")
        self._file.seek(size, os.SEEK_CUR)

    def _fail(self, what: str) -> NoReturn:
        raise UbjsonError(f"{what} at byte {self._file.tell()}")
