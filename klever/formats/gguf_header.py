"""Reads the header of a GGUF file: its metadata and its table of tensors, without weights (ggml/docs/gguf.md)."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from klever.errors import InvalidError
from klever.formats.ggml import TENSOR_TYPES
from klever.formats.weights import Weights, elements

__all__ = ["Header", "Value", "read_header"]

Value = int | float | bool | str | list[int]
"""A value of the metadata. A list is an array of integers."""

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_MAX_KEYS: Final = 10_000
_MAX_TENSORS: Final = 1_000_000
_MAX_STRINGS: Final = 4_000_000
"""The most strings of all arrays together: vocabularies have up to a million tokens and merges."""
_MAX_NAME: Final = 4096
_MAX_TEXT: Final = 4 << 20
"""The most characters of all kept strings. Strings longer than 1 MiB are not kept."""
_MAX_KEPT: Final = 1 << 20
_MAX_LIST: Final = 4096
"""The most integers of a kept array, e.g. one for each layer."""
_MAX_RANK: Final = 8
_ALIGNMENT: Final = 32

_STRING, _ARRAY = 8, 9
_SCALARS: Final = {
    number: struct.Struct(f"<{code}")
    for number, code in {
        0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"
    }.items()
}  # fmt: skip
_FLOATS: Final = (6, 12)
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


@dataclass(slots=True)
class Header:
    """The content of a header.

    `lengths` are those of the metadata's arrays. `types` counts the bytes of the tensors of each type. `unknown` are
    unknown types, whose tensors are not counted.
    """

    version: int
    metadata: dict[str, Value] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    tensors: int = 0
    weights: Weights = field(default_factory=Weights)
    types: Counter[str] = field(default_factory=Counter)
    unknown: set[int] = field(default_factory=set)


def read_header(file: memoryview) -> Header:
    """Read the header of a file. Raises `InvalidError` that names the fault and its byte."""
    cursor = _Cursor(file)
    try:
        return _read(cursor)
    except struct.error as error:
        raise InvalidError(f"it is truncated: its header does not end within its {len(file)} bytes") from error


def _read(cursor: _Cursor) -> Header:
    if cursor.take(len(_MAGIC)) != _MAGIC:
        raise InvalidError(f"it must begin with {_MAGIC.decode()}")
    version = cursor.number(_U32)
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        found = f"{swapped} for big-endian machines" if swapped in _VERSIONS else str(version)
        raise InvalidError(f"its version must be 2 or 3, little-endian, not {found}; convert the model again")
    header = Header(version)
    header.tensors, keys = cursor.number(_U64), cursor.number(_U64)
    if header.tensors > _MAX_TENSORS or keys > _MAX_KEYS:
        raise InvalidError(
            f"it has {header.tensors} tensors and {keys} keys: must be at most {_MAX_TENSORS} and {_MAX_KEYS}"
        )
    for _ in range(keys):
        cursor.key(header)
    end = max((_tensor(cursor, header) for _ in range(header.tensors)), default=0)
    alignment = header.metadata.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0:
        raise InvalidError(f"general.alignment must be a positive number, not {str(alignment)[:80]}")
    whole = -(-cursor.at // alignment) * alignment + end
    if whole > len(cursor.file):
        raise InvalidError(f"it is truncated: its tensors end at byte {whole}, but it has {len(cursor.file)} bytes")
    return header


def _tensor(cursor: _Cursor, header: Header) -> int:
    """Count a tensor. Return its end in the data."""
    name = cursor.text(_MAX_NAME, "the name of a tensor")
    rank = cursor.number(_U32)
    if rank > _MAX_RANK:
        raise InvalidError(f"tensor {name[:80]!r} must have at most {_MAX_RANK} dimensions, not {rank}")
    count = elements(cursor.number(_U64) for _ in range(rank))
    number, offset = cursor.number(_U32), cursor.number(_U64)
    kind = TENSOR_TYPES.get(number)
    if kind is None:
        header.unknown.add(number)
        return offset
    size = -(-count // kind.block) * kind.bytes
    header.weights.add_bytes(count, size)
    header.types[kind.name] += size
    return offset + size


class _Cursor:
    """A position in a file."""

    def __init__(self, file: memoryview) -> None:
        self.file = file
        self.at = 0
        self._strings = _MAX_STRINGS
        self._text = _MAX_TEXT

    def take(self, size: int) -> bytes:
        if size > len(self.file) - self.at:
            raise struct.error
        self.at += size
        return bytes(self.file[self.at - size : self.at])

    def number(self, layout: struct.Struct) -> int:
        (value,) = layout.unpack_from(self.file, self.at)
        self.at += layout.size
        return int(value)

    def text(self, most: int, what: str) -> str:
        size = self.number(_U64)
        if size > most:
            raise InvalidError(f"{what} at byte {self.at} must have at most {most} bytes, not {size}")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise InvalidError(f"{what} at byte {self.at} must be UTF-8") from error

    def key(self, header: Header) -> None:
        """Read a key and its value."""
        name = self.text(_MAX_NAME, "a key")
        kind = self.number(_U32)
        if kind == _ARRAY:
            self._array(name, header)
        elif kind == _STRING:
            (size,) = _U64.unpack_from(self.file, self.at)
            if size > _MAX_KEPT:
                self.at += _U64.size + size
                return
            header.metadata[name] = self.text(_MAX_KEPT, f"the value of {name[:80]!r}")
            self._text -= size
            if self._text < 0:
                raise InvalidError(f"its strings must have at most {_MAX_TEXT} bytes in total")
        elif kind in _SCALARS:
            layout = _SCALARS[kind]
            (header.metadata[name],) = layout.unpack_from(self.file, self.at)
            self.at += layout.size
        else:
            raise InvalidError(f"the value of {name[:80]!r} at byte {self.at} has the unknown type {kind}")

    def _array(self, name: str, header: Header) -> None:
        kind, count = self.number(_U32), self.number(_U64)
        header.lengths[name] = count
        if kind == _STRING:
            self._skip_strings(count)
        elif kind in _SCALARS:
            layout = _SCALARS[kind]
            if count <= _MAX_LIST and kind not in _FLOATS:
                header.metadata[name] = [self.number(layout) for _ in range(count)]
            else:
                self.at += layout.size * count
        else:
            raise InvalidError(f"the array {name[:80]!r} at byte {self.at} has the unknown type {kind}")

    def _skip_strings(self, count: int) -> None:
        self._strings -= count
        if self._strings < 0:
            raise InvalidError(f"its arrays must have at most {_MAX_STRINGS} strings in total")
        at, file, length = self.at, self.file, _U64.unpack_from
        for _ in range(count):
            at += 8 + length(file, at)[0]
        self.at = at
