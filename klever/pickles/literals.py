"""The opcodes of an unpickler that push and change plain values: numbers, texts, tuples, lists and dictionaries."""

from __future__ import annotations

import codecs
import struct
from typing import Final

from klever.pickles.stack import MAX_ITEMS, OPAQUE, Stack

__all__ = ["Literals"]

_MAX_NUMBER: Final = 16
"""The largest number that is kept, in bytes."""


class Literals(Stack):
    """Each method is an opcode. Its argument is bytes, or None if it is too long to keep."""

    def opaque(self, _argument: object) -> None:
        self._push(OPAQUE)

    def none(self, _argument: object) -> None:
        self._push(None)

    def nothing(self, _argument: object) -> None:
        """Push the argument."""

    def boolean(self, argument: object) -> None:
        self._push(argument)

    def number(self, argument: bytes | None) -> None:
        """INT and LONG. Only sizes of arrays matter, and `01` (True) is not a size."""
        try:
            self._push(int((argument or b"").rstrip(b"L")))
        except ValueError:
            self._push(OPAQUE)

    def binary_number(self, argument: bytes) -> None:
        self._push(int.from_bytes(argument, "little", signed=len(argument) == 4))

    def long(self, argument: bytes | None) -> None:
        is_kept = argument is not None and len(argument) <= _MAX_NUMBER
        self._push(int.from_bytes(argument or b"", "little", signed=True) if is_kept else OPAQUE)

    def float_(self, argument: bytes | None) -> None:
        try:
            self._push(float(argument or b""))
        except ValueError:
            self._push(OPAQUE)

    def binary_float(self, argument: bytes) -> None:
        self._push(struct.unpack(">d", argument)[0])

    def raw(self, argument: bytes | None) -> None:
        self._push(OPAQUE if argument is None or not self._has_room(len(argument)) else argument)

    def text(self, argument: bytes | None) -> None:
        try:
            self._push(OPAQUE if argument is None else self._keep(argument.decode("utf-8", "surrogatepass")))
        except UnicodeDecodeError as error:
            raise self._damaged("a string must be UTF-8") from error

    def latin(self, argument: bytes | None) -> None:
        self._push(OPAQUE if argument is None else self._keep(argument.decode("latin-1")))

    def quoted(self, argument: bytes | None) -> None:
        if argument is None:
            self._push(OPAQUE)
            return
        if len(argument) < 2 or argument[:1] not in (b"'", b'"') or argument[:1] != argument[-1:]:
            raise self._damaged("a string must be quoted")
        try:
            decoded = codecs.escape_decode(argument[1:-1])[0]
        except ValueError as error:
            raise self._damaged("invalid string") from error
        self._push(self._keep(decoded.decode("latin-1")))

    def escaped(self, argument: bytes | None) -> None:
        try:
            self._push(OPAQUE if argument is None else self._keep(argument.decode("raw-unicode-escape")))
        except UnicodeDecodeError as error:
            raise self._damaged("invalid string") from error

    def mark(self, _argument: object) -> None:
        self._marks.append(len(self._stack))

    def pop(self, _argument: object) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def pop_mark(self, _argument: object) -> None:
        self._pop_to_mark()

    def dup(self, _argument: object) -> None:
        self._push(self._top())

    def tuple_(self, _argument: object) -> None:
        items = self._pop_to_mark()
        self._push(tuple(items) if len(items) <= MAX_ITEMS else OPAQUE)

    def list_(self, _argument: object) -> None:
        items: list[object] = []
        self._extend(items, self._pop_to_mark())
        self._push(items)

    def frozen_set(self, _argument: object) -> None:
        self._pop_to_mark()
        self._push(OPAQUE)

    def dict_(self, _argument: object) -> None:
        entries: dict[object, object] = {}
        self._set(entries, self._pop_to_mark())
        self._push(entries)

    def empty_list(self, _argument: object) -> None:
        self._push([])

    def empty_dict(self, _argument: object) -> None:
        self._push({})

    def touch(self, _argument: object) -> None:
        self._top()

    def append(self, _argument: object) -> None:
        value = self._pop()
        self._extend(self._top(), [value])

    def extend(self, _argument: object) -> None:
        items = self._pop_to_mark()
        self._extend(self._top(), items)

    def set_item(self, _argument: object) -> None:
        value, key = self._pop(), self._pop()
        self._set(self._top(), [key, value])

    def set_items(self, _argument: object) -> None:
        items = self._pop_to_mark()
        self._set(self._top(), items)

    def tuples(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))
