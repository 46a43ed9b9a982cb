"""CEL rules (x-kubernetes-validations). Anything but true is a failure; a rule with oldSelf runs on updates only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from cel_expr_python import cel

from klever.errors import FieldViolation
from klever.store.validation.schemas import Node

__all__ = ["check_rules"]


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
    return _program(rule).eval(data=data).value() is True


@cache
def _environment() -> Any:
    """CEL with Kubernetes' `sum` over lists of numbers."""
    overload = cel.Overload("list_sum", cel.Type.INT, [cel.Type.LIST], is_member=True, impl=_sum)
    return cel.NewEnv(
        variables={"self": cel.Type.DYN, "oldSelf": cel.Type.DYN}, functions=[cel.FunctionDecl("sum", [overload])]
    )


@cache
def _program(rule: str) -> Any:
    return _environment().compile(rule)


def _sum(items: list[Any]) -> int:
    return sum(item if isinstance(item, int) else item.value() for item in items)
