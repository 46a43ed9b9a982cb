"""CEL rules (x-kubernetes-validations). Anything but true is a failure; a rule with oldSelf runs on updates only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from klever.errors import FieldViolation
from klever.store.validation.schemas import Node

__all__ = ["check_rules"]

_MOST_PATTERNS: Final = 16
"""Literal patterns in the rules of one value."""
_LITERAL_MATCH: Final = re.compile(r"([\w.]+)\.matches\(r?'([^']*)'\)")


def check_rules(node: Node, value: Any, old: Any, path: str) -> Iterator[FieldViolation]:
    """Yield the rules that do not hold, here and below; `old` is None where there was nothing."""
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
    """Correlate a map list's items by their keys; items of other lists have no old value."""
    before: dict[tuple[str, ...], Any] = {}
    if keys and isinstance(old, list):
        before = {tuple(repr(o.get(k)) for k in keys): o for o in old}
    for index, item in enumerate(value):
        identity = tuple(repr(item.get(k)) for k in keys)
        yield from check_rules(node, item, before.get(identity), f"{path}[{index}]")


def _holds(rule: str, value: Any, old: Any) -> bool:
    data = {"self": value} if old is None else {"self": value, "oldSelf": old}
    program, patterns = _program(rule)
    for number, matches in enumerate(patterns):
        data[f"matching{number}"] = [text for text in _texts(value) if matches(text)]
    return program.eval(data=data).value() is True


@cache
def _environment() -> Any:
    """CEL with Kubernetes' `sum` over lists of numbers."""
    overload = cel.Overload("list_sum", cel.Type.INT, [cel.Type.LIST], is_member=True, impl=_sum)
    variables = ("self", "oldSelf", *(f"matching{number}" for number in range(_MOST_PATTERNS)))
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), functions=[cel.FunctionDecl("sum", [overload])])


@cache
def _program(rule: str) -> tuple[Any, list[Callable[[str], Any]]]:
    """Compile a rule, and its literal patterns: `x.matches('…')` becomes `x in matching0`.

    The CEL library compiles a literal pattern anew for each value, and blocks all threads meanwhile: the names of 1,024
    environment variables took 300 ms. A function of ours in its place would leak: it never frees their arguments.
    """
    texts = [match[2] for match in _LITERAL_MATCH.finditer(rule)]
    numbers = iter(range(_MOST_PATTERNS))
    program = _environment().compile(_LITERAL_MATCH.sub(lambda match: f"({match[1]} in matching{next(numbers)})", rule))
    return program, [_matcher(text) for text in texts]


def _matcher(pattern: str) -> Callable[[str], Any]:
    """Compile a pattern of RE2, in which every `$` is an anchor at the end of the text."""
    compiled = re.compile(pattern.replace("$", r"\Z"))
    return compiled.match if pattern.startswith("^") else compiled.search


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _sum(items: list[Any]) -> int:
    return sum(item if isinstance(item, int) else item.value() for item in items)
