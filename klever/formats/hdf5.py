"""Reads one text attribute of an HDF5 file's root group. It supports only what h5py and Keras write.

Source: "HDF5 File Format Specification Version 3.0" (The HDF Group), by its sections: attribute message IV.A.2.m,
datatype message IV.A.2.d, dataspace message IV.A.2.b, global heap III.E.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from klever.formats.hdf5_objects import UNDEFINED, UnreadableError, file_size, messages, read, root, unpack

__all__ = ["SIGNATURE", "UnreadableError", "read_attribute", "starts"]

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MAX_MESSAGES: Final = 10_000
_MAX_HEAP: Final = 64 << 20
_ATTRIBUTE, _ATTRIBUTE_INFO = 0x0C, 0x15
_SHARED: Final = 0x02
_STRING, _VARIABLE = 3, 9


def starts(file: BinaryIO) -> list[int]:
    """Return the possible offsets of superblocks: 0, 512, 1024, 2048, … (II.A)."""
    size = file_size(file)
    offsets = [0, *(512 << shift for shift in range(40) if 512 << shift < size)]
    return [offset for offset in offsets if read(file, offset, len(SIGNATURE), short=True) == SIGNATURE]


def read_attribute(path: Path, name: str, limit: int) -> bytes | None:
    """Return the attribute's text; None if the root group has no attribute with this name.

    Raises `UnreadableError` for anything uncertain.
    """
    with path.open("rb") as file:
        if starts(file)[:1] != [0]:
            raise UnreadableError("its superblock must be at the beginning")
        try:
            found = [m for m in _attributes(file) if _name(m) == name.encode()]
            if len(found) > 1:
                raise UnreadableError(f"it has several attributes {name}")
            return _value(file, found[0], limit) if found else None
        except (struct.error, IndexError) as error:
            raise UnreadableError(f"it is damaged: {error}") from error


def _attributes(file: BinaryIO) -> Iterator[bytes]:
    for count, message in enumerate(messages(file, root(file))):
        if count > _MAX_MESSAGES:
            raise UnreadableError("its root group has too many messages")
        if message.kind == _ATTRIBUTE_INFO and not _is_compact(message.content):
            raise UnreadableError("its attributes are in dense storage")
        if message.kind == _ATTRIBUTE:
            if message.flags & _SHARED:
                raise UnreadableError("it has a shared attribute")
            yield message.content


def _is_compact(content: bytes) -> bool:
    """Return whether an attribute info message (IV.A.2.v) names no heap of attributes."""
    start = 4 if content[1] & 1 else 2
    return bool(unpack("Q", content, start)[0] == UNDEFINED)


def _parts(message: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return an attribute's name, datatype, dataspace and data."""
    version = message[0]
    if version not in (1, 2, 3) or (version > 1 and message[1]):
        raise UnreadableError("it has an attribute with a shared type")
    sizes = unpack("HHH", message, 2)
    at, parts = 9 if version == 3 else 8, []
    for size in sizes:
        parts.append(message[at : at + size])
        at += (size + 7) // 8 * 8 if version == 1 else size
    name, datatype, dataspace = parts
    return name.split(b"\0")[0], datatype, dataspace, message[at:]


def _name(message: bytes) -> bytes:
    return _parts(message)[0]


def _value(file: BinaryIO, message: bytes, limit: int) -> bytes:
    _, datatype, dataspace, data = _parts(message)
    if dataspace[1]:
        raise UnreadableError("the attribute must not be an array")
    kind, size = datatype[0] & 0x0F, unpack("I", datatype, 4)[0]
    if kind == _STRING:
        return _bounded(data[:size], size, limit)
    if kind != _VARIABLE or datatype[1] & 0x0F != 1:
        raise UnreadableError("the attribute must be text")
    length, address, index = unpack("IQI", data)
    return _bounded(_heap_object(file, address, index)[:length], length, limit)


def _bounded(text: bytes, size: int, limit: int) -> bytes:
    if size > limit:
        raise UnreadableError(f"the attribute must have at most {limit} bytes, not {size}")
    if len(text) != size:
        raise UnreadableError("the attribute is truncated")
    return text.rstrip(b"\0")


def _heap_object(file: BinaryIO, address: int, wanted: int) -> bytes:
    head = read(file, address, 16)
    size = unpack("Q", head, 8)[0]
    if head[:5] != b"GCOL\x01" or size > _MAX_HEAP:
        raise UnreadableError("its global heap is damaged")
    heap, at = read(file, address, size), 16
    while at + 16 <= size:
        index, length = unpack("H6xQ", heap, at)
        if index == wanted and index:
            return heap[at + 16 : at + 16 + length]
        if not index:
            break
        at += 16 + (length + 7) // 8 * 8
    raise UnreadableError("the attribute's text is missing")
