"""Reads protobuf's wire format in place (https://protobuf.dev/programming-guides/encoding/).

A parser turns 2 bytes of a hostile file into 100 bytes of objects, and copies weights. This module walks a message
field by field, so that a model of any size takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.errors import InvalidError

__all__ = ["Field", "Walk", "content", "embed", "text", "varint", "varints"]

Field = int | memoryview
"""A field's value: a number, or the content of a string, bytes or message."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIDTHS: Final = {_FIXED64: 8, _FIXED32: 4}
_MOST_VARINT_BITS: Final = 63
_MOST_TEXT: Final = 4096
_MOST_FIELDS: Final = 3_000_000
"""The most fields of a message. A graph of 100,000 nodes has two million."""


class Walk:
    """One walk through a message. It reads at most `most` fields, at any depth."""

    def __init__(self, most: int = _MOST_FIELDS) -> None:
        self._most = self._left = most

    def fields(self, message: memoryview) -> Iterator[tuple[int, Field]]:
        """Yield number and value of each field, in the order of the file. Raises `InvalidError` for a damaged one."""
        at = 0
        while at < len(message):
            self._left -= 1
            if self._left < 0:
                raise InvalidError(f"the message has more than {self._most} fields")
            key, at = varint(message, at)
            number, kind = key >> 3, key & 7
            if not number:
                raise InvalidError(f"a field has the number 0 at byte {at}")
            if kind == _VARINT:
                value, at = varint(message, at)
                yield number, value
                continue
            if kind == _LENGTH:
                size, at = varint(message, at)
            elif kind in _WIDTHS:
                size = _WIDTHS[kind]
            else:
                raise InvalidError(f"field {number} has the wire type {kind}")
            if size > len(message) - at:
                raise InvalidError(f"field {number} has {size} bytes, but only {len(message) - at} follow")
            found = message[at : at + size]
            at += size
            yield number, found if kind == _LENGTH else int.from_bytes(found, "little")

    def messages(self, message: memoryview, wanted: int) -> Iterator[memoryview]:
        """Yield the content of each field with this number. Raises `InvalidError` if one is a number."""
        for number, value in self.fields(message):
            if number == wanted:
                yield content(number, value)


def content(number: int, value: Field) -> memoryview:
    """Return the content of a field. Raises `InvalidError` for a number."""
    if isinstance(value, int):
        raise InvalidError(f"field {number} must be a text or message, not a number")
    return value


def text(value: Field) -> str:
    """Return a name. Raises `InvalidError` if it is too long or not UTF-8."""
    if isinstance(value, int):
        raise InvalidError(f"a name must be text, not the number {value}")
    if len(value) > _MOST_TEXT:
        raise InvalidError(f"a name must have at most {_MOST_TEXT} bytes, not {len(value)}")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"a name must be UTF-8: {bytes(value[:80])!r}") from error


def varints(value: Field, most: int) -> Iterator[int]:
    """Yield the numbers of a repeated integer field, packed or not. Raises `InvalidError` above `most` of them."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    for _ in range(most):
        if at >= len(value):
            return
        number, at = varint(value, at)
        yield number
    if at < len(value):
        raise InvalidError(f"a list has more than {most} numbers")


def embed(number: int, content: bytes) -> bytes:
    """Return the encoding of a message as a field of another one."""
    return _written_varint(number << 3 | _LENGTH) + _written_varint(len(content)) + content


def _written_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position after it. Raises `InvalidError` if it is truncated."""
    try:
        byte = message[at]
        if byte < 0x80:
            return byte, at + 1
        value, shift = byte & 0x7F, 7
        while shift <= _MOST_VARINT_BITS:
            at += 1
            byte = message[at]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at + 1
            shift += 7
    except IndexError as error:
        raise InvalidError("the message ends within a number") from error
    raise InvalidError(f"a number has more than 10 bytes at byte {at}")
