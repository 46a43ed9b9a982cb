"""A filter that is bound to the messages that are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from klever.api.filters import grammar
from klever.api.filters.comparison import Check, comparison
from klever.api.filters.fields import child

__all__ = ["Filter", "parse_filter"]

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages a list returns. `test` is None if it returns all."""

    tree: grammar.Expression | None
    test: Test | None
    _message: Descriptor

    def matches(self, message: Message) -> bool:
        return self.test is None or self.test(message)

    @property
    def words(self) -> str | None:
        """The text that the name must contain, if the filter says nothing else; None for any other filter."""
        if self.tree is None:
            return ""
        return self.tree.text if isinstance(self.tree, grammar.Word) else None

    def names(self, fields: Iterable[str]) -> bool:
        """Return whether the filter looks at one of these fields, in whichever message they are."""
        wanted = set(fields)
        wanted |= {"".join([first, *map(str.title, rest)]) for first, *rest in (name.split("_") for name in wanted)}
        return any(wanted.intersection(path) for path in _paths(self.tree))

    def split(self, selectable: Iterable[str]) -> tuple[str, Filter]:
        """Return a field selector of the store, and the filter that is left, which holds together with it."""
        parts = self.tree.parts if isinstance(self.tree, grammar.All) else (self.tree,) if self.tree else ()
        known = set(selectable)
        selected, left = list[str](), list[grammar.Expression]()
        for part in parts:
            term = _selector(part, self._message, known)
            if term:
                selected.append(term)
            else:
                left.append(part)
        return ",".join(selected), self if left else Filter(None, None, self._message)


def parse_filter(text: str, message: Descriptor, name: str = "metadata.name") -> Filter:
    """Return a filter of messages; `name` is the field that words without a field search. Raises `InvalidError`."""
    tree = grammar.parse(text)
    return Filter(tree, None if tree is None else _test(tree, message, name), message)


def _test(tree: grammar.Expression, message: Descriptor, name: str) -> Test:
    match tree:
        case grammar.All(parts):
            tests = [_test(part, message, name) for part in parts]
            return lambda obj: all(test(obj) for test in tests)
        case grammar.Any(parts):
            tests = [_test(part, message, name) for part in parts]
            return lambda obj: any(test(obj) for test in tests)
        case grammar.Not(part):
            inner = _test(part, message, name)
            return lambda obj: not inner(obj)
        case grammar.Word(text):
            steps = name.split(".")
            return lambda obj: text in _named(obj, steps)
        case _:
            return _field_test(tree, message)


def _named(obj: Any, steps: list[str]) -> str:
    for step in steps:
        obj = getattr(obj, step)
    return str(obj)


def _field_test(restriction: grammar.Restriction, message: Descriptor) -> Test:
    check: Check = comparison(restriction, message)
    if restriction.operator == "!=":
        return lambda obj: not check(obj)
    return check


def _paths(tree: grammar.Expression | None) -> Iterator[tuple[str, ...]]:
    match tree:
        case grammar.All(parts) | grammar.Any(parts):
            for part in parts:
                yield from _paths(part)
        case grammar.Not(part):
            yield from _paths(part)
        case grammar.Restriction(path):
            yield path


def _selector(part: grammar.Expression, message: Descriptor, known: set[str]) -> str:
    """Return a comparison as a field selector, empty if the store has none like it."""
    if not isinstance(part, grammar.Restriction) or part.operator not in ("=", "!=") or "*" in part.value:
        return ""
    names = list[str]()
    inner: Any = message
    for name in part.path:
        field: Any = child(inner, name) if inner else None
        if field is None:
            return ""
        names.append(field.json_name)
        inner = field.message_type
    path = ".".join(names)
    value = part.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    return f"{path}{part.operator}{value}" if path in known else ""
