"""CEL rules (x-kubernetes-validations). Anything but true is a failure; a rule with oldSelf runs on updates only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from cel_expr_python import cel

from klever.errors import FieldViolation
from klever.store.validation.schemas import HAS_RULES, Schema

__all__ = ["check_rules"]


def check_rules(schema: Schema, value: Any, old: Any, path: str) -> Iterator[FieldViolation]:
    """Yield the rules that do not hold, here and below; `old` is None where there was nothing."""
    if not schema.get(HAS_RULES, True):
        return
    for rule in schema.get("x-kubernetes-validations", []):
        if "oldSelf" in rule["rule"] and old is None:
            continue
        if not _holds(rule["rule"], value, old):
            yield FieldViolation((path + rule.get("fieldPath", "")).lstrip("."), rule["message"])
    if isinstance(value, dict):
        for name, field in schema.get("properties", {}).items():
            if name in value:
                before = old.get(name) if isinstance(old, dict) else None
                yield from check_rules(field, value[name], before, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield from _items(schema, value, old, path)


def _items(schema: Schema, value: list[Any], old: Any, path: str) -> Iterator[FieldViolation]:
    """Correlate a map list's items by their keys; items of other lists have no old value."""
    keys = schema.get("x-kubernetes-list-map-keys")
    before: dict[tuple[str, ...], Any] = {}
    if keys and isinstance(old, list):
        before = {tuple(repr(o.get(k)) for k in keys): o for o in old}
    for index, item in enumerate(value):
        identity = tuple(repr(item.get(k)) for k in keys) if keys else ()
        yield from check_rules(schema.get("items", {}), item, before.get(identity), f"{path}[{index}]")


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
