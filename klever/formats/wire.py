"""Protobuf's wire format, read in place (https://protobuf.dev/programming-guides/encoding/).

A parser makes objects of a message: 2 bytes of a hostile file become 100 bytes of memory, and weights are copied. Here
a message is walked field by field, so that a model takes no memory however large it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.errors import InvalidError

__all__ = ["Field", "content", "fields", "messages", "text"]

Field = int | memoryview
"""A field's value: a number of a varint or of a fixed width, or the content of a string, bytes or message."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
_MOST_VARINT_BITS: Final = 63
_MOST_TEXT: Final = 4096


def fields(message: memoryview) -> Iterator[tuple[int, Field]]:
    """Yield number and value of each field, in the order of the file. Raises `InvalidError` for a damaged message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise InvalidError(f"field number 0 at byte {at}")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _LENGTH:
            size, at = _varint(message, at)
        elif kind in _WIDTHS:
            size = _WIDTHS[kind]
        else:
            raise InvalidError(f"field {number} has the wire type {kind}")
        content = message[at : at + size]
        if len(content) < size:
            raise InvalidError(f"field {number} has {size} bytes, and only {len(content)} follow")
        at += size
        yield number, content if kind == _LENGTH else int.from_bytes(content, "little")


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the content of each field with this number; raises `InvalidError` if one is a number."""
    for found, value in fields(message):
        if found == number:
            yield content(number, value)


def content(number: int, value: Field) -> memoryview:
    """Return a value that must have a content."""
    if isinstance(value, int):
        raise InvalidError(f"field {number} is a number, not a text or message")
    return value


def text(value: Field) -> str:
    """Return a name; raises `InvalidError` if it is not UTF-8, or too long."""
    if isinstance(value, int):
        raise InvalidError(f"{value} stands where a text belongs")
    if len(value) > _MOST_TEXT:
        raise InvalidError(f"a name has {len(value)} bytes, and at most {_MOST_TEXT} are read")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"a name is not UTF-8: {bytes(value[:80])!r}") from error


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    value, shift = 0, 0
    while shift <= _MOST_VARINT_BITS:
        if at >= len(message):
            raise InvalidError("the file ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise InvalidError(f"a number at byte {at} has more than 10 bytes")
