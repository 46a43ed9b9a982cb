"""`trafficMatchs` of the predecessor's Seldon, as `matches` of a predictor."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from klever.seldon.sections import Section

__all__ = ["read_matches"]

Conditions = list[dict[str, Any]]


def _exclude(name: str, value: str) -> Conditions:
    """The predecessor refused every character of the value; it meant the value as a whole."""
    literal = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value)
    return [{"name": name, "present": True}, {"name": name, "regex": f".*{literal}.*", "negate": True}]


_OPERATORS: Final[Mapping[str, Callable[[str, str], Conditions]]] = {
    "exact": lambda name, value: [{"name": name, "exact": value}],
    "prefix": lambda name, value: [{"name": name, "prefix": value}],
    "regex": lambda name, value: [{"name": name, "regex": value}],
    "include": lambda name, value: [{"name": name, "regex": value}],
    "exclude": _exclude,
}


def read_matches(predictor: Section) -> list[dict[str, Any]]:
    """Return the matches: any of them must hold, and all conditions in one of them."""
    return [{"headers": _conditions(match)} for match in predictor.sections("trafficMatchs")]


def _conditions(match: Section) -> Conditions:
    headers = match.section("headers")
    match.close()
    if not headers:
        match.error("headers", "must have at least one header")
    return [condition for name in headers.names() for condition in _condition(headers.section(name), name.lower())]


def _condition(header: Section, name: str) -> Conditions:
    operators = list(header.names())
    if len(operators) != 1 or operators[0] not in _OPERATORS:
        header.error("", f"must have exactly one of {', '.join(_OPERATORS)}")
        return []
    return _OPERATORS[operators[0]](name, header.text(operators[0]))
