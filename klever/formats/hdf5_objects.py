"""The objects of an HDF5 file: the root group, and the messages of an object's header.

Source: "HDF5 File Format Specification Version 3.0" (The HDF Group): superblock II.A, object headers IV.A.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

__all__ = ["UNDEFINED", "Message", "Source", "UnreadableError", "file_size", "messages", "read", "root", "unpack"]

UNDEFINED: Final = (1 << 64) - 1
"""The undefined address."""
_MAX_HEADER: Final = 1 << 20
_MAX_BLOCKS: Final = 64
_CONTINUATION: Final = 0x10


class Source(Protocol):
    """A file, or a part of one."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def read(self, size: int, /) -> bytes: ...


class UnreadableError(Exception):
    """The file is damaged, or uses a feature that Keras does not use. The message names it."""


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    flags: int
    content: bytes


def file_size(file: Source) -> int:
    return file.seek(0, 2)


def read(file: Source, offset: int, size: int, *, short: bool = False) -> bytes:
    if offset > file_size(file):
        raise UnreadableError(f"invalid address {offset}")
    file.seek(offset)
    content = file.read(size)
    if len(content) != size and not short:
        raise UnreadableError("it is truncated")
    return content


def unpack(layout: str, content: bytes, offset: int = 0) -> tuple[Any, ...]:
    return struct.unpack_from(f"<{layout}", content, offset)


def root(file: Source) -> int:
    """Return the address of the root group's object header."""
    block = read(file, 0, 96)
    version = block[8]
    offsets, lengths = (block[13], block[14]) if version < 2 else (block[9], block[10])
    if (offsets, lengths) != (8, 8) or version > 3:
        raise UnreadableError(f"unsupported superblock of version {version} with offsets of {offsets} bytes")
    if version >= 2:
        base, end, root = unpack("Q8xQQ", block, 12)
    else:
        start = 24 if version == 0 else 28
        base, end, root = unpack("Q8xQ8x8xQ", block, start)
    if base:
        raise UnreadableError(f"unsupported base address {base}")
    if end > file_size(file):
        raise UnreadableError(f"it is truncated: it has {file_size(file)} bytes of {end}")
    return int(root)


def messages(file: Source, address: int) -> Iterator[Message]:
    prefix = read(file, address, 32, short=True)
    if prefix[:4] == b"OHDR":
        yield from _messages_2(file, address, prefix)
    elif prefix[:1] == b"\x01":
        yield from _messages_1(file, address)
    else:
        raise UnreadableError(f"no object header found at byte {address}")


def _messages_1(file: Source, address: int) -> Iterator[Message]:
    """Read a header of version 1: a prefix of 12 bytes, padded to 16, and blocks of messages."""
    size = unpack("I", read(file, address, 12), 8)[0]
    blocks = [(address + 16, size)]
    for count, (offset, length) in enumerate(blocks):
        content, at = _block(file, offset, length, count), 0
        while at + 8 <= len(content):
            kind, size, flags = unpack("HHB", content, at)
            message = Message(kind, flags, content[at + 8 : at + 8 + size])
            if kind == _CONTINUATION:
                blocks.append(unpack("QQ", message.content))
            yield message
            at += 8 + size


def _messages_2(file: Source, address: int, prefix: bytes) -> Iterator[Message]:
    """Read a header of version 2: a signature and flags, and blocks of messages that end in a checksum."""
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
            kind, size, message_flags = unpack("BHB", content, at)
            message = Message(kind, message_flags, content[at + head : at + head + size])
            if kind == _CONTINUATION:
                blocks.append(unpack("QQ", message.content))
            yield message
            at += head + size


def _block(file: Source, offset: int, length: int, count: int) -> bytes:
    if length > _MAX_HEADER or count > _MAX_BLOCKS:
        raise UnreadableError("its object header is too large")
    return read(file, offset, length)
