"""Label and field selectors in Kubernetes' syntax (k8s.io/apimachinery `pkg/labels`, `pkg/fields`).

Labels: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, `a>1`, `a<1`, joined by commas.
Fields: `path=value`, `path==value`, `path!=value`, joined by commas; `\\`, `,` and `=` in values are escaped by `\\`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from klever.api.kinds import Kind, Object
from klever.errors import FieldViolation, InvalidError
from klever.store.meta import LABEL_VALUE, qualified_name

__all__ = ["Selector", "selectable"]

_Labels = dict[str, str]
_Requirement = Callable[[_Labels], bool]

_MOST_CHARACTERS: Final = 4096
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*)?(?P<key>[^\s,=!<>()]+)"
    r"(?:\s*(?P<op>==|=|!=|<|>)\s*(?P<value>[^\s,=!<>()]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*(?P<end>,|$)"
)
_TERM = re.compile(r"(?P<path>[^=!,\\]+)(?P<op>==|=|!=)(?P<value>(?:[^\\,=]|\\[\\,=])*)(?P<end>,|$)")


class Selector:
    """The parsed selectors of a list or a watch. Raises `InvalidError` for a selector that does not parse."""

    def __init__(self, kind: Kind, labels: str = "", fields: str = "") -> None:
        for field, text in (("label_selector", labels), ("fields", fields)):
            if len(text) > _MOST_CHARACTERS:
                raise _invalid(field, f"has {len(text)} characters; the most is {_MOST_CHARACTERS}")
        self._labels = _parse_labels(labels)
        self._fields = _parse_fields(kind, fields)
        self.everything = not self._labels and not self._fields
        """Whether it matches every object, so that no object needs to be decoded."""

    def matches(self, obj: Object) -> bool:
        if self._labels:
            labels = obj["metadata"].get("labels", {})
            if not all(requirement(labels) for requirement in self._labels):
                return False
        return all((_value(obj, path) == value) is wanted for path, value, wanted in self._fields)


@cache
def selectable(kind: Kind) -> tuple[str, ...]:
    """Return the paths that a field selector of the kind may name: those of the metadata, and those of its row."""
    return ("metadata.name", *(["metadata.namespace"] if kind.namespaced else []), *kind.selectable)


def _value(obj: Object, path: str) -> str:
    if path == "source":  # Kubernetes selects Events by the component of their source
        path = "source.component"
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _parse_fields(kind: Kind, text: str) -> list[tuple[str, str, bool]]:
    terms = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _invalid("fields", f"invalid field selector {text!r}: expected PATH=VALUE or PATH!=VALUE, …")
        path = match["path"].strip()
        if path not in selectable(kind):
            raise _invalid(
                "fields", f"{path!r} of {kind} is not selectable: must be one of {', '.join(selectable(kind))}"
            )
        terms.append((path, re.sub(r"\\(.)", r"\1", match["value"]), match["op"] != "!="))
        position = match.end()
    return terms


def _parse_labels(text: str) -> list[_Requirement]:
    requirements = []
    position = 0
    while position < len(text.rstrip()):
        match = _REQUIREMENT.match(text, position)
        if match is None or (match["absent"] and (match["op"] or match["set"])):
            raise _invalid(
                "label_selector", f"invalid label selector {text!r}: expected KEY=VALUE, KEY in (A,B), KEY, !KEY, …"
            )
        requirements.append(_requirement(match))
        position = match.end()
        if match["end"] == "," and position >= len(text.rstrip()):
            raise _invalid("label_selector", f"{text!r} must not end with a comma")
    return requirements


def _requirement(match: re.Match[str]) -> _Requirement:
    key, op = match["key"], match["op"] or match["set"]
    if not qualified_name(key):
        raise _invalid("label_selector", f"invalid label key {key!r}")
    if op is None:
        wanted = not match["absent"]
        return lambda labels: (key in labels) is wanted
    if op in ("<", ">"):
        return _compared(key, op, match["value"])
    values = {value.strip() for value in match["values"].split(",")} if match["set"] else {match["value"]}
    for value in values:
        if not LABEL_VALUE.fullmatch(value):
            raise _invalid("label_selector", f"invalid label value {value!r}")
    if op in ("!=", "notin"):
        return lambda labels: labels.get(key) not in values
    return lambda labels: labels.get(key) in values


def _compared(key: str, op: str, text: str) -> _Requirement:
    bound = _integer(text)
    if bound is None:
        raise _invalid("label_selector", f"{key!r} must be compared with an integer, not {text!r}")

    def holds(labels: _Labels) -> bool:
        value = _integer(labels.get(key, ""))
        return value is not None and (value > bound if op == ">" else value < bound)

    return holds


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None


def _invalid(field: str, description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation(field, description),))
