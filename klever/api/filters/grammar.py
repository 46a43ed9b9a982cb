"""The grammar of filters: from words to a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from klever.api.filters.tokens import Token, invalid, tokenize

__all__ = ["All", "Any", "Expression", "Not", "Restriction", "Word", "parse"]

_MOST_DEPTH: Final = 20
_MOST_WORDS: Final = 300
"""Fields, values and operators in letters. Each object of a list, and each event of a watch, costs their time."""
_COMPARATORS: Final = frozenset({"=", "!=", "<", "<=", ">", ">=", ":"})


@dataclass(frozen=True, slots=True)
class All:
    """Every part must hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """One part must hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Expression


@dataclass(frozen=True, slots=True)
class Word:
    """A text that the name must contain."""

    text: str


@dataclass(frozen=True, slots=True)
class Restriction:
    """A comparison of a field. `at` is where the field stands in the filter."""

    path: tuple[str, ...]
    operator: str
    value: str
    at: int
    is_quoted: bool = False


Expression = All | Any | Not | Word | Restriction


def parse(text: str) -> Expression | None:
    """Return the tree of a filter, None for an empty one. Raises `InvalidError` that says where it is wrong."""
    tokens = tokenize(text)
    if (words := sum(token.is_word for token in tokens)) > _MOST_WORDS:
        raise invalid(f"has {words} words; the most is {_MOST_WORDS}")
    reader = _Reader(tokens)
    if reader.next() is None:
        return None
    expression = reader.expression(0)
    if (left := reader.next()) is not None:
        raise invalid(f"unexpected {left.text!r}", left.at)
    return expression


class _Reader:
    """Reads by recursive descent. OR binds more tightly than AND; words side by side are joined by AND."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0

    def next(self) -> Token | None:
        return self._tokens[self._index] if self._index < len(self._tokens) else None

    def _take(self, *texts: str) -> Token | None:
        token = self.next()
        if token is None or token.text not in texts:
            return None
        self._index += 1
        return token

    def expression(self, depth: int) -> Expression:
        if depth > _MOST_DEPTH:
            raise invalid(f"is nested more than {_MOST_DEPTH} levels deep")
        parts = [self._factor(depth)]
        while (token := self.next()) is not None and token.text != ")":
            self._take("AND")
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _factor(self, depth: int) -> Expression:
        parts = [self._term(depth)]
        while self._take("OR"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _term(self, depth: int) -> Expression:
        if self._take("NOT", "-"):
            return Not(self._simple(depth))
        token = self.next()
        if token is not None and token.is_word and token.text.startswith("-") and len(token.text) > 1:
            self._tokens[self._index] = Token(token.text[1:], token.at + 1, is_word=True)
            return Not(self._simple(depth))
        return self._simple(depth)

    def _simple(self, depth: int) -> Expression:
        if self._take("("):
            inner = self.expression(depth + 1)
            if not self._take(")"):
                raise invalid("a closing parenthesis is missing")
            return inner
        token = self._word("a field or a word")
        comparator = self._take(*_COMPARATORS)
        if comparator is None:
            return Word(token.value)
        return self._restriction(token, comparator.text, depth)

    def _restriction(self, field: Token, operator: str, depth: int) -> Expression:
        if not self._take("("):
            value = self._word("a value")
            return Restriction(field.path, operator, value.value, field.at, value.is_quoted)
        inner = self.expression(depth + 1)
        if not self._take(")"):
            raise invalid("a closing parenthesis is missing")
        return _distributed(field, operator, inner)

    def _word(self, wanted: str) -> Token:
        token = self.next()
        if token is None:
            raise invalid(f"ends where {wanted} must follow")
        if not token.is_word or token.text in ("AND", "OR", "NOT"):
            raise invalid(f"{wanted} must stand in place of {token.text!r}", token.at)
        self._index += 1
        return token


def _distributed(field: Token, operator: str, inner: Expression) -> Expression:
    """Return `format = (ONNX OR PMML)` as `format = ONNX OR format = PMML`."""
    match inner:
        case All(parts) | Any(parts):
            return type(inner)(tuple(_distributed(field, operator, part) for part in parts))
        case Not(part):
            return Not(_distributed(field, operator, part))
        case Word(text):
            return Restriction(field.path, operator, text, field.at)
        case _:
            raise invalid(f"the values of {field.text!r} must be words joined by OR or AND", field.at)
