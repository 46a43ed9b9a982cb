"""Reads the footer of a Parquet file: the columns, their numbers of values, and their bounds. It reads no data.

Source: apache/parquet-format, README.md ("Metadata") and parquet.thrift; thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Column", "ParquetError", "read_columns"]

_MAGIC: Final = b"PAR1"
_MAX_FOOTER: Final = 1 << 20
_MAX_VALUES: Final = 200_000
_MAX_DEPTH: Final = 16
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS: Final = (4, 5, 6)
_ROWS, _ROW_GROUPS, _COLUMNS, _META_DATA = 3, 4, 1, 3
_PATH, _VALUES, _STATISTICS = 3, 5, 12
_LEAST, _GREATEST = 6, 5
"""Numbers of fields in FileMetaData, RowGroup, ColumnChunk, ColumnMetaData and Statistics."""


class ParquetError(Exception):
    """The file is not Parquet, or its footer exceeds a limit."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one row group. `values` counts them, including nulls. `constant` is the value of all of them."""

    path: tuple[str, ...]
    rows: int
    values: int
    constant: int | None


def read_columns(path: Path) -> list[Column]:
    """Return the columns of a regular file. Raises `ParquetError`."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        end = file.read()
        length = int.from_bytes(end[:4], "little")
        if len(end) < 8 or end[4:] != _MAGIC or length > min(size - 8, _MAX_FOOTER):
            raise ParquetError("it has no readable Parquet footer")
        file.seek(size - 8 - length)
        footer = file.read(length)
    try:
        document = _Compact(footer).struct(0)
        groups = document[_ROW_GROUPS]
        return [_column(chunk[_META_DATA], document[_ROWS]) for group in groups for chunk in group[_COLUMNS]]
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise ParquetError(f"its footer is damaged: {type(error).__name__} {error}") from error


def _column(meta: dict[int, Any], rows: int) -> Column:
    statistics = meta.get(_STATISTICS) or {}
    least, greatest = statistics.get(_LEAST), statistics.get(_GREATEST)
    constant = None
    if isinstance(least, bytes) and least == greatest and len(least) in (4, 8):
        constant = int.from_bytes(least, "little", signed=True)
    path = tuple(part.decode(errors="replace") for part in meta[_PATH])
    return Column(path, int(rows), int(meta[_VALUES]), constant)


class _Compact:
    """Thrift's compact protocol: structures become dictionaries by the numbers of fields."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._left = _MAX_VALUES

    def struct(self, depth: int) -> dict[int, Any]:
        found: dict[int, Any] = {}
        field = 0
        while True:
            head = self._byte()
            kind = head & 0x0F
            if kind == _STOP:
                return found
            field = field + (head >> 4) if head >> 4 else self._integer()
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise ParquetError("its footer is too large")
        if kind in (_TRUE, _FALSE, _BYTE):  # in a list, a boolean takes a byte
            return self._byte()
        if kind in _INTEGERS:
            return self._integer()
        if kind == _DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ParquetError(f"its footer has a value of type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        return [self._value(head & 0x0F, depth + 1) for _ in range(count)]

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift > 63:
                raise ParquetError("its footer has a number of more than 64 bits")

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        content = self._content[self._at : self._at + count]
        if len(content) < count:
            raise ParquetError("its footer is truncated")
        self._at += count
        return content
