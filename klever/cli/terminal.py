"""Escapes control characters in output to a terminal, because names, logs and errors can contain any text."""

from __future__ import annotations

import io
import re
from typing import Final

__all__ = ["Terminal", "escaped"]

_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 except tab and newline, DEL, C1, line separators, and marks that change the direction of text."""


def escaped(text: str) -> str:
    r"""Return the text with each control character as `\xNN` or `\uNNNN`."""
    return _CONTROLS.sub(lambda found: _escape(found[0]), text)


class Terminal(io.TextIOWrapper):
    """Standard output at a terminal. Text to a pipe is unchanged."""

    def write(self, text: str, /) -> int:
        super().write(escaped(text))
        return len(text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
