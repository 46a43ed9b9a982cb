"""CEL rules (x-kubernetes-validations). Any result but true is a failure. A rule with oldSelf runs on updates only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from klever.errors import FieldViolation
from klever.store.validation.schemas import Node

__all__ = ["check_rules"]

_MOST: Final = 16
"""Literal patterns, and sums, in the rules of one value."""
_SUM: Final = ".sum()"
_NAME: Final = re.compile(r"[\w.]")
_LITERAL_MATCH: Final = re.compile(r"([\w.]+)\.matches\(r?'([^']*)'\)")


def check_rules(node: Node, value: Any, old: Any, path: str) -> Iterator[FieldViolation]:
    """Yield the failed rules of a value and everything below it. `old` is None if there was no value."""
    rules = node.rules_when_new if old is None else node.rules
    if rules and not _holds(rules.together, value, old):
        for rule in rules.each:
            if not _holds(rule.text, value, old):
                yield FieldViolation((path + rule.path).lstrip("."), rule.message)
    if isinstance(value, dict):
        for name, part in node.ruled.items():
            if name in value:
                before = old.get(name) if isinstance(old, dict) else None
                yield from check_rules(part, value[name], before, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and node.items and node.items.has_rules:
        yield from _items(node.items, node.keys, value, old, path)


def _items(node: Node, keys: list[str], value: list[Any], old: Any, path: str) -> Iterator[FieldViolation]:
    """Match the items of a map list by their keys. Items of other lists have no old value."""
    before: dict[tuple[str, ...], Any] = {}
    if keys and isinstance(old, list):
        before = {tuple(repr(o.get(k)) for k in keys): o for o in old}
    for index, item in enumerate(value):
        identity = tuple(repr(item.get(k)) for k in keys)
        yield from check_rules(node, item, before.get(identity), f"{path}[{index}]")


def _holds(rule: str, value: Any, old: Any) -> bool:
    data = {"self": value} if old is None else {"self": value, "oldSelf": old}
    program = _program(rule)
    for number, matches in enumerate(program.patterns):
        data[f"matching{number}"] = [text for text in _texts(value) if matches(text)]
    for number, terms in enumerate(program.sums):
        data[f"sum{number}"] = sum(item.value() for item in terms.eval(data=data).value())
    return program.rule.eval(data=data).value() is True


@cache
def _environment() -> Any:
    names = [f"{name}{number}" for name in ("matching", "sum") for number in range(_MOST)]
    return cel.NewEnv(variables=dict.fromkeys(("self", "oldSelf", *names), cel.Type.DYN))


@dataclass(frozen=True, slots=True)
class _Program:
    """A compiled rule, its literal patterns, and the lists of numbers that it sums."""

    rule: Any
    patterns: list[Callable[[str], Any]]
    sums: list[Any]


@cache
def _program(rule: str) -> _Program:
    """Compile a rule: `x.matches('…')` becomes `x in matching0`, and `list.sum()` becomes `sum0`.

    The CEL library compiles a literal pattern again for each value and blocks all threads meanwhile: the names of 1,024
    environment variables took 300 ms. It lacks `sum`, which Kubernetes adds. Custom functions would leak: the library
    never frees their arguments.
    """
    texts = [match[2] for match in _LITERAL_MATCH.finditer(rule)]
    numbers = iter(range(_MOST))
    text = _LITERAL_MATCH.sub(lambda match: f"({match[1]} in matching{next(numbers)})", rule)
    sums = list[Any]()
    while (end := text.find(_SUM)) >= 0:
        start = _start(text, end)
        sums.append(_environment().compile(text[start:end]))
        text = f"{text[:start]}sum{len(sums) - 1}{text[end + len(_SUM) :]}"
    return _Program(_environment().compile(text), [_matcher(text) for text in texts], sums)


def _start(rule: str, end: int) -> int:
    """Return the start of the expression that ends at `end`: names, dots, and calls with their arguments."""
    depth, start = 0, end
    while start and (depth or rule[start - 1] in ")]" or _NAME.match(rule[start - 1])):
        start -= 1
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(rule[start], 0)
    return start


def _matcher(pattern: str) -> Callable[[str], Any]:
    """Compile an RE2 pattern, in which every `$` is an anchor at the end of the text."""
    compiled = re.compile(pattern.replace("$", r"\Z"))
    return compiled.match if pattern.startswith("^") else compiled.search


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
