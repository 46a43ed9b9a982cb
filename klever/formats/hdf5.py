"""Reads one text attribute of an HDF5 file's root group, from what h5py and Keras write; everything else is refused.

Source: "HDF5 File Format Specification Version 3.0" (The HDF Group), by its sections: superblock II.A, object headers
IV.A, attribute message IV.A.2.m, datatype message IV.A.2.d, dataspace message IV.A.2.b, global heap III.E.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

__all__ = ["SIGNATURE", "UnreadableError", "read_attribute", "starts"]

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MAX_HEADER: Final = 1 << 20
_MAX_MESSAGES: Final = 10_000
_MAX_BLOCKS: Final = 64
_MAX_HEAP: Final = 64 << 20
_UNDEFINED: Final = (1 << 64) - 1
_ATTRIBUTE, _CONTINUATION, _ATTRIBUTE_INFO = 0x0C, 0x10, 0x15
_SHARED: Final = 0x02
_STRING, _VARIABLE = 3, 9


class UnreadableError(Exception):
    """The file is damaged, or uses a feature that Keras does not; `str` says which."""


@dataclass(frozen=True, slots=True)
class _Message:
    kind: int
    flags: int
    content: bytes


def starts(file: BinaryIO) -> list[int]:
    """Return where superblocks may begin: at 0, 512, 1024, 2048, … (II.A)."""
    size = os.fstat(file.fileno()).st_size
    offsets = [0, *(512 << shift for shift in range(40) if 512 << shift < size)]
    return [offset for offset in offsets if _read(file, offset, len(SIGNATURE), short=True) == SIGNATURE]


def read_attribute(path: Path, name: str, limit: int) -> bytes | None:
    """Return the attribute's text as it stands; None if the root group has no attribute of this name.

    Raises `UnreadableError` for anything that is not certain.
    """
    with path.open("rb") as file:
        if starts(file)[:1] != [0]:
            raise UnreadableError("its superblock is not at the beginning")
        try:
            found = [m for m in _attributes(file) if _name(m) == name.encode()]
            if len(found) > 1:
                raise UnreadableError(f"it has several attributes {name}")
            return _value(file, found[0], limit) if found else None
        except (struct.error, IndexError) as error:
            raise UnreadableError(f"it is damaged: {error}") from error


def _read(file: BinaryIO, offset: int, size: int, *, short: bool = False) -> bytes:
    if offset > os.fstat(file.fileno()).st_size:
        raise UnreadableError(f"an address is {offset}")
    file.seek(offset)
    content = file.read(size)
    if len(content) != size and not short:
        raise UnreadableError("it ends early")
    return content


def _unpack(layout: str, content: bytes, offset: int = 0) -> tuple[Any, ...]:
    return struct.unpack_from(f"<{layout}", content, offset)


def _root(file: BinaryIO) -> int:
    """Return the address of the root group's object header."""
    block = _read(file, 0, 96)
    version = block[8]
    offsets, lengths = (block[13], block[14]) if version < 2 else (block[9], block[10])
    if (offsets, lengths) != (8, 8) or version > 3:
        raise UnreadableError(f"it has a superblock of version {version} with offsets of {offsets} bytes")
    if version >= 2:
        base, root = _unpack("Q8x8xQ", block, 12)
    else:
        start = 24 if version == 0 else 28
        base, root = _unpack("Q24x8xQ", block, start)
    if base:
        raise UnreadableError(f"its base address is {base}")
    return int(root)


def _attributes(file: BinaryIO) -> Iterator[bytes]:
    for count, message in enumerate(_messages(file, _root(file))):
        if count > _MAX_MESSAGES:
            raise UnreadableError("its root group has too many messages")
        if message.kind == _ATTRIBUTE_INFO and not _is_compact(message.content):
            raise UnreadableError("its attributes are in dense storage")
        if message.kind == _ATTRIBUTE:
            if message.flags & _SHARED:
                raise UnreadableError("it has a shared attribute")
            yield message.content


def _is_compact(content: bytes) -> bool:
    """Say whether an attribute info message (IV.A.2.v) names no heap of attributes."""
    start = 4 if content[1] & 1 else 2
    return bool(_unpack("Q", content, start)[0] == _UNDEFINED)


def _messages(file: BinaryIO, address: int) -> Iterator[_Message]:
    prefix = _read(file, address, 32, short=True)
    if prefix[:4] == b"OHDR":
        yield from _messages_2(file, address, prefix)
    elif prefix[:1] == b"\x01":
        yield from _messages_1(file, address)
    else:
        raise UnreadableError("its root group has no object header")


def _messages_1(file: BinaryIO, address: int) -> Iterator[_Message]:
    """Version 1: a prefix of 12 bytes, padded to 16, and blocks of messages."""
    size = _unpack("I", _read(file, address, 12), 8)[0]
    blocks = [(address + 16, size)]
    for count, (offset, length) in enumerate(blocks):
        content, at = _block(file, offset, length, count), 0
        while at + 8 <= len(content):
            kind, size, flags = _unpack("HHB", content, at)
            message = _Message(kind, flags, content[at + 8 : at + 8 + size])
            if kind == _CONTINUATION:
                blocks.append(_unpack("QQ", message.content))
            yield message
            at += 8 + size


def _messages_2(file: BinaryIO, address: int, prefix: bytes) -> Iterator[_Message]:
    """Version 2: a signature and flags, and blocks of messages that end in a checksum."""
    flags = prefix[5]
    at = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(prefix[at : at + width], "little")
    head = 6 if flags & 0x04 else 4
    blocks = [(address + at + width, size)]
    for count, (offset, length) in enumerate(blocks):
        content, at = _block(file, offset, length, count), 0
        if count:
            if content[:4] != b"OCHK":
                raise UnreadableError("a part of its object header is missing")
            content = content[4:-4]
        while at + head <= len(content):
            kind, size, message_flags = _unpack("BHB", content, at)
            message = _Message(kind, message_flags, content[at + head : at + head + size])
            if kind == _CONTINUATION:
                blocks.append(_unpack("QQ", message.content))
            yield message
            at += head + size


def _block(file: BinaryIO, offset: int, length: int, count: int) -> bytes:
    if length > _MAX_HEADER or count > _MAX_BLOCKS:
        raise UnreadableError("its object header is too large")
    return _read(file, offset, length)


def _parts(message: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return an attribute's name, datatype, dataspace and data."""
    version = message[0]
    if version not in (1, 2, 3) or (version > 1 and message[1]):
        raise UnreadableError("it has an attribute with a shared type")
    sizes = _unpack("HHH", message, 2)
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
        raise UnreadableError("the attribute is an array")
    kind, size = datatype[0] & 0x0F, _unpack("I", datatype, 4)[0]
    if kind == _STRING:
        return _bounded(data[:size], size, limit)
    if kind != _VARIABLE or datatype[1] & 0x0F != 1:
        raise UnreadableError("the attribute is not text")
    length, address, index = _unpack("IQI", data)
    return _bounded(_heap_object(file, address, index)[:length], length, limit)


def _bounded(text: bytes, size: int, limit: int) -> bytes:
    if size > limit:
        raise UnreadableError(f"the attribute has {size} bytes, more than {limit}")
    if len(text) != size:
        raise UnreadableError("the attribute ends early")
    return text.rstrip(b"\0")


def _heap_object(file: BinaryIO, address: int, wanted: int) -> bytes:
    head = _read(file, address, 16)
    size = _unpack("Q", head, 8)[0]
    if head[:5] != b"GCOL\x01" or size > _MAX_HEAP:
        raise UnreadableError("its global heap cannot be read")
    heap, at = _read(file, address, size), 16
    while at + 16 <= size:
        index, length = _unpack("H6xQ", heap, at)
        if index == wanted and index:
            return heap[at + 16 : at + 16 + length]
        if not index:
            break
        at += 16 + (length + 7) // 8 * 8
    raise UnreadableError("the attribute's text is missing")
