"""Reads the relevant part of a large JSON file. Given members are counted and skipped, whatever their size."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, BinaryIO, Final, NoReturn

import orjson

__all__ = ["JsonError", "read_json"]

_CHUNK: Final = 1 << 18
_MAX_TOKEN: Final = 1 << 20
_MAX_KEPT: Final = 8 << 20
"""The most bytes of kept values."""
_MAX_DEPTH: Final = 100
_MAX_PASSED_DEPTH: Final = 10_000
"""The deepest nesting of skipped values, such as trees."""
_ITEM: Final = 32
"""How many bytes a value counts in addition to its text."""
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[-+\w.]++")
_FLAT: Final = re.compile(rb'[^"\[\]{}]*+(?:(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|\[[^"\[\]{}]*+\])[^"\[\]{}]*+)*+', re.DOTALL)
"""Text that is skipped at once: up to the beginning or end of an object, or of a list that is not flat."""


class JsonError(Exception):
    """The file is not valid JSON, or exceeds a limit. The message says where."""


def read_json(file: BinaryIO, passed_over: Collection[str]) -> Any:
    """Return the value in a file. The value of a member in `passed_over` is the number of objects in its list.

    In skipped members, only matching brackets are checked. Raises `JsonError`.
    """
    text = _Text(file, passed_over)
    value = text.value(0)
    text.end()
    return value


class _Text:
    def __init__(self, file: BinaryIO, passed_over: Collection[str]) -> None:
        self._file = file
        self._passed_over = passed_over
        self._buffer = b""
        self._at = 0
        self._before = 0
        """Bytes of the file before the buffer."""
        self._left = _MAX_KEPT

    def value(self, depth: int) -> Any:
        start = self._next()
        if depth > _MAX_DEPTH:
            self._fail(f"it is nested more than {_MAX_DEPTH} levels deep")
        if start == b"{":
            return self._object(depth)
        if start == b"[":
            return self._list(depth)
        return self._scalar(_STRING if start == b'"' else _SCALAR)

    def end(self) -> None:
        """Raise `JsonError` if more text follows."""
        if self._next():
            self._fail("unexpected text after the value")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._at += 1
        while self._next() != b"}":
            name = self._scalar(_STRING)
            self._expect(b":")
            found[name] = self._pass_over() if name in self._passed_over else self.value(depth + 1)
            if self._next() != b"}":
                self._expect(b",")
        self._at += 1
        return found

    def _list(self, depth: int) -> list[Any]:
        found = []
        self._at += 1
        while self._next() != b"]":
            found.append(self.value(depth + 1))
            if self._next() != b"]":
                self._expect(b",")
        self._at += 1
        return found

    def _scalar(self, pattern: re.Pattern[bytes]) -> Any:
        token = self._token(pattern)
        self._left -= len(token) + _ITEM
        if self._left < 0:
            self._fail(f"the file has more than {_MAX_KEPT} bytes of metadata")
        try:
            return orjson.loads(token)
        except ValueError as error:
            raise JsonError(f"invalid value {token[:40]!r} before byte {self._position()}") from error

    def _pass_over(self) -> int:
        """Skip a value. Return the number of objects directly in it."""
        if self._next() not in (b"{", b"["):
            self._scalar(_STRING if self._next() == b'"' else _SCALAR)
            return 0
        self._at += 1
        depth, objects = 1, 0
        while depth:
            self._at = _match(_FLAT, self._buffer, self._at)
            if self._at == len(self._buffer):
                self._more()
                continue
            found = self._buffer[self._at]
            if found == _QUOTE:  # the end of the string is not read yet
                self._token(_STRING)
                continue
            self._at += 1
            depth += 1 if found in _OPENING else -1
            if depth > _MAX_PASSED_DEPTH:
                self._fail(f"it is nested more than {_MAX_PASSED_DEPTH} levels deep")
            objects += depth == 2 and found == _BRACE
        return objects

    def _token(self, pattern: re.Pattern[bytes]) -> bytes:
        """Return the match at the current position, and move after it."""
        while True:
            found = pattern.match(self._buffer, self._at)
            # A token at the end of the buffer may continue.
            if found and (found.end() < len(self._buffer) or not self._fill()):
                self._at = found.end()
                return found[0]
            if len(self._buffer) - self._at > _MAX_TOKEN:
                self._fail(f"a text or number has more than {_MAX_TOKEN} bytes")
            if not found:
                self._more()

    def _next(self) -> bytes:
        """Return the next character that is not a space, without consuming it; nothing at the end."""
        while True:
            self._at = _match(_SPACE, self._buffer, self._at)
            if self._at < len(self._buffer) or not self._fill():
                return self._buffer[self._at : self._at + 1]

    def _expect(self, wanted: bytes) -> None:
        if self._next() != wanted:
            self._fail(f"expected {wanted.decode()!r}")
        self._at += 1

    def _more(self) -> None:
        if not self._fill():
            self._fail("it is truncated")

    def _fill(self) -> bool:
        chunk = self._file.read(_CHUNK)
        self._before += self._at
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _position(self) -> int:
        return self._before + self._at

    def _fail(self, what: str) -> NoReturn:
        raise JsonError(f"{what} at byte {self._position()}")


_QUOTE, _BRACE = b'"{'
_OPENING: Final = b"{["


def _match(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    """Return the end of a pattern that always matches."""
    found = pattern.match(text, at)
    return found.end() if found else at
