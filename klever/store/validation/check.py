"""Checks a value against a structural schema. Every fault names its field path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from klever.api.text import parse_time
from klever.errors import FieldViolation
from klever.store.validation.schemas import Node

__all__ = ["BlockingFault", "check"]

_ARTICLES = {"object": "an object", "array": "a list", "string": "a string", "integer": "an integer"}

Faults = list[FieldViolation]


class BlockingFault(FieldViolation):
    """A fault that prevents the CEL rules (Kubernetes: hasBlockingErr). A bound or a pattern does not block."""


def check(node: Node, value: Any, path: str) -> Faults:
    """Return the faults of `value`, decoded JSON, and of everything below it."""
    faults: Faults = []
    _check(node, value, path, faults)
    return faults


def _check(node: Node, value: Any, path: str, faults: Faults) -> None:
    if node.types is not None and type(value) not in node.types and not _integral(node, value):
        wanted = "an integer or a string" if node.int_or_string else _ARTICLES.get(node.type, f"a {node.type}")
        faults.append(BlockingFault(path, f"must be {wanted}, not {_show(value)}"))
        return
    if node.enum is not None and value not in node.enum:
        known = ", ".join(str(e) for e in node.enum if e != "")
        faults.append(BlockingFault(path, f"unsupported value {_show(value)}: must be one of {known}"))
    check_value = _CHECKS.get(type(value))
    if check_value is not None:
        check_value(node, value, path, faults)


def _integral(node: Node, value: Any) -> bool:
    return node.type == "integer" and isinstance(value, float) and value.is_integer()


def _object(node: Node, value: dict[str, Any], path: str, faults: Faults) -> None:
    prefix = f"{path}." if path else ""
    for name in node.required:
        if name not in value:
            faults.append(BlockingFault(f"{prefix}{name}", "is required"))
    if len(value) > node.max_properties:
        faults.append(BlockingFault(path, f"must have at most {node.max_properties} entries, not {len(value)}"))
    properties, others = node.properties, node.others
    if not properties and others is None:
        return
    for name, field in value.items():
        part = properties.get(name, others)
        if part is not None:
            _check(part, field, f"{prefix}{name}", faults)


def _list(node: Node, value: list[Any], path: str, faults: Faults) -> None:
    if len(value) < node.min_items:
        faults.append(FieldViolation(path, f"must have at least {node.min_items} items, not {len(value)}"))
    if len(value) > node.max_items:
        faults.append(BlockingFault(path, f"must have at most {node.max_items} items, not {len(value)}"))
        value = value[: int(node.max_items)]  # an API server also looks for duplicates in a list that is too long
    elif node.items is not None:
        for index, item in enumerate(value):
            _check(node.items, item, f"{path}[{index}]", faults)
    if node.keys:
        _duplicates(node.keys, value, path, faults)


def _duplicates(keys: list[str], value: list[Any], path: str, faults: Faults) -> None:
    seen: dict[tuple[Any, ...], int] = {}
    for index, item in enumerate(value):
        identity = tuple(repr(item.get(k)) for k in keys) if isinstance(item, dict) else (repr(item),)
        seen[identity] = seen.get(identity, 0) + 1
        if seen[identity] == 2:  # report each duplicate once
            named = ", ".join(f"{k} {item.get(k)!r}" for k in keys) if isinstance(item, dict) else repr(item)
            faults.append(FieldViolation(f"{path}[{index}]", f"duplicate {named}"))


def _string(node: Node, value: str, path: str, faults: Faults) -> None:
    if len(value) < node.min_length:
        faults.append(FieldViolation(path, "must not be empty"))
    if len(value) > node.max_length:
        faults.append(BlockingFault(path, f"must have at most {node.max_length} characters, not {len(value)}"))
        return
    if node.pattern is not None and not node.pattern.search(value):
        faults.append(FieldViolation(path, f"{_show(value)} is not {node.title}"))
    if node.is_time:
        try:
            parse_time(value)
        except ValueError:
            faults.append(BlockingFault(path, f"{_show(value)} must be a time such as 2026-01-31T12:00:00Z"))


def _number(node: Node, value: float, path: str, faults: Faults) -> None:
    low, high = node.low, node.high
    if low is not None and high is not None and not low <= value <= high:
        faults.append(FieldViolation(path, f"must be between {low} and {high}, not {value}"))
    elif low is not None and value < low:
        faults.append(FieldViolation(path, f"must be at least {low}, not {value}"))
    elif high is not None and value > high:
        faults.append(FieldViolation(path, f"must be at most {high}, not {value}"))
    if node.format and not node.format[0] <= value <= node.format[1]:
        faults.append(FieldViolation(path, f"must be between {node.format[0]} and {node.format[1]}, not {value}"))


_CHECKS: dict[type, Callable[[Node, Any, str, Faults], None]] = {
    str: _string,
    dict: _object,
    list: _list,
    int: _number,
    float: _number,
}
"""Checks by the exact type of decoded JSON."""


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
