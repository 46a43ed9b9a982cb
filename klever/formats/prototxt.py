"""Parses protobuf's text format without a schema (https://protobuf.dev/reference/protobuf/textformat-spec/).

A parser with a schema would reject the layers of Caffe's forks, which many published networks use.
"""

from __future__ import annotations

import re
from typing import Final

from klever.errors import InvalidError

__all__ = ["Message", "parse"]

_MAX_DEPTH: Final = 20
_MAX_TOKENS: Final = 1_000_000
_MAX_NUMBER: Final = (1 << 63) - 1
_TOKEN: Final = re.compile(
    r"""\s+|\#.*|(?P<text>"(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+')|(?P<word>[-+.\w/]+)|(?P<mark>[{}<>\[\]:;,])"""
)
_CLOSING: Final = {"{": "}", "<": ">"}


class Message:
    """A message: the values of each field, in the order of the file."""

    __slots__ = ("fields", "line")

    def __init__(self, line: int) -> None:
        self.line = line
        self.fields: dict[str, list[str | Message]] = {}

    def texts(self, name: str) -> list[str]:
        """Return the scalar values of a field as text: numbers, names and strings."""
        return [value for value in self.fields.get(name, ()) if isinstance(value, str)]

    def text(self, name: str, default: str = "") -> str:
        """Return the last value of a field, which takes precedence."""
        return next(reversed(self.texts(name)), default)

    def messages(self, name: str) -> list[Message]:
        return [value for value in self.fields.get(name, ()) if isinstance(value, Message)]

    def message(self, name: str) -> Message:
        """Return the last message of a field, or an empty one."""
        return next(reversed(self.messages(name)), Message(self.line))

    def numbers(self, name: str) -> list[int]:
        """Return the whole numbers of a field. Raises `InvalidError` with the line of the message."""
        try:
            numbers = [int(value) for value in self.texts(name)]
        except ValueError as error:
            raise InvalidError(f"line {self.line}: {name} must be a whole number") from error
        if any(abs(number) > _MAX_NUMBER for number in numbers):
            raise InvalidError(f"line {self.line}: {name} must be at most {_MAX_NUMBER}")
        return numbers

    def number(self, name: str, default: int) -> int:
        """Return the last whole number of a field. Raises `InvalidError` with the line of the message."""
        return next(reversed(self.numbers(name)), default)


def parse(content: str) -> Message:
    """Return the message in a file. Raises `InvalidError` with the line of a syntax error."""
    parser = _Parser(content)
    message = Message(1)
    parser.fields(message, "", 0)
    return message


class _Parser:
    def __init__(self, content: str) -> None:
        self._content = content
        self._at = 0
        self._line = 1
        self._left = _MAX_TOKENS
        self._kind = self._next = ""
        self._advance()

    def fields(self, message: Message, closing: str, depth: int) -> None:
        """Parse fields up to the token `closing`. An empty token means the end of the file."""
        while self._next != closing or self._kind == "text":
            if self._kind != "word":
                raise self._unexpected("the name of a field")
            name = self._take()
            self._value(message.fields.setdefault(name, []), name, depth)
            while self._next in (";", ",") and self._kind == "mark":
                self._take()
        if closing:
            self._take()

    def _value(self, values: list[str | Message], name: str, depth: int) -> None:
        colon = self._kind == "mark" and self._next == ":"
        if colon:
            self._take()
        if self._kind == "mark" and self._next in _CLOSING:
            values.append(self._message(depth))
        elif not colon:
            raise self._unexpected(f"':' or '{{' after {name[:80]!r}")
        elif self._kind == "mark" and self._next == "[":
            self._list(values, depth)
        else:
            values.append(self._scalar())

    def _message(self, depth: int) -> Message:
        if depth == _MAX_DEPTH:
            raise InvalidError(f"line {self._line}: messages must be nested at most {_MAX_DEPTH} levels deep")
        message = Message(self._line)
        self.fields(message, _CLOSING[self._take()], depth + 1)
        return message

    def _list(self, values: list[str | Message], depth: int) -> None:
        self._take()
        while self._next != "]":
            values.append(self._message(depth) if self._next in _CLOSING else self._scalar())
            if self._next == ",":
                self._take()
            elif self._next != "]":
                raise self._unexpected("',' or ']'")
        self._take()

    def _scalar(self) -> str:
        if self._kind == "word":
            return self._take()
        if self._kind != "text":
            raise self._unexpected("a value")
        parts = []
        while self._kind == "text":  # adjacent strings are one
            parts.append(self._take()[1:-1])
        return "".join(parts)

    def _take(self) -> str:
        token = self._next
        self._advance()
        return token

    def _advance(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidError(f"line {self._line}: it must have at most {_MAX_TOKENS} tokens")
        self._kind = self._next = ""
        while not self._kind and self._at < len(self._content):
            found = _TOKEN.match(self._content, self._at)
            if found is None:
                raise InvalidError(f"line {self._line}: unexpected {self._content[self._at : self._at + 20]!r}")
            self._at = found.end()
            self._kind, self._next = found.lastgroup or "", found[0]
            if not self._kind:
                self._line += found[0].count("\n")
                self._next = ""

    def _unexpected(self, wanted: str) -> InvalidError:
        found = repr(self._next[:80]) if self._kind else "the end of the file"
        return InvalidError(f"line {self._line}: expected {wanted}, not {found}")
