"""The words of a filter."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from klever.errors import FieldViolation, InvalidError

__all__ = ["MOST_CHARACTERS", "Token", "invalid", "tokenize"]

MOST_CHARACTERS: Final = 4096
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'"
_WORD: Final = re.compile(rf"(?:{_QUOTED}|[^\s()\"'=<>!:,])+", re.DOTALL)
_OPERATOR: Final = re.compile(r"<=|>=|!=|[=<>:()]")
_PART: Final = re.compile(rf"({_QUOTED})|([^.\"']+)|(\.)", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A word or an operator, and where it begins."""

    text: str
    at: int
    is_word: bool

    @property
    def is_quoted(self) -> bool:
        return self.is_word and self.text[0] in "\"'"

    @property
    def value(self) -> str:
        """The text of a word without its quotes."""
        return "".join(_unquoted(quoted) if quoted else plain or dot for quoted, plain, dot in _PART.findall(self.text))

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of a word between its dots; a part in quotes may have dots of its own. Raises `InvalidError`."""
        parts: list[str] = [""]
        for quoted, plain, dot in _PART.findall(self.text):
            if dot:
                parts.append("")
            else:
                parts[-1] += _unquoted(quoted) if quoted else plain
        if not all(parts):
            raise invalid(f"{self.text!r} is not a field", self.at)
        return tuple(parts)


def invalid(description: str, at: int | None = None) -> InvalidError:
    place = "" if at is None else f" at character {at + 1}"
    return InvalidError(violations=(FieldViolation("filter", description + place),))


def tokenize(text: str) -> list[Token]:
    """Return the words and operators of a filter. Raises `InvalidError`."""
    if len(text) > MOST_CHARACTERS:
        raise invalid(f"has {len(text)} characters; the most is {MOST_CHARACTERS}")
    tokens, at = list[Token](), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        operator = _OPERATOR.match(text, at)
        found = operator or _WORD.match(text, at)
        if found is None:
            raise invalid(f"unexpected {text[at]!r}", at)
        tokens.append(Token(found[0], at, operator is None))
        at = found.end()
    return tokens


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1])
