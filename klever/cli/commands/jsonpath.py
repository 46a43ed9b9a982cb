r"""kubectl's JSONPath templates: text, and expressions in braces, such as `{.items[*].metadata.name}{"\n"}`.

`{range PATH}` … `{end}` repeats the text between them for each result of a path. A missing field is empty text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

import jsonpath

from klever.errors import InvalidError

__all__ = ["Template"]

_PART: Final = re.compile(r"""\{((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^{}"'])*)\}|([^{]+)""")
_NAME: Final = re.compile(r"""("[^"]*"|'[^']*')|\.((?:\\.|[^\\.\[\](){}\s=!<>&|,*"'@$])+)""")
"""A string within a filter, or a step such as `.kubernetes\\.io/name`."""


class _Part(Protocol):
    def render(self, value: Any) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class _Text:
    text: str

    def render(self, _value: Any) -> Iterator[str]:
        yield self.text


@dataclass(frozen=True, slots=True)
class _Path:
    """A path. Its results are separated by spaces."""

    path: jsonpath.JSONPath

    def render(self, value: Any) -> Iterator[str]:
        yield " ".join(map(_shown, self.path.findall(value)))


@dataclass(frozen=True, slots=True)
class _Sequence:
    """Parts in order, once for each result of the path, or once without a path."""

    path: jsonpath.JSONPath | None = None
    parts: list[_Part] = field(default_factory=list)

    def render(self, value: Any) -> Iterator[str]:
        for item in self.path.findall(value) if self.path else [value]:
            for part in self.parts:
                yield from part.render(item)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has been checked."""

    root: _Sequence

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a template. A text without braces is one path. Raises `InvalidError`."""
        open_ranges = [_Sequence()]
        for expression, literal in _parts(text if "{" in text else f"{{{text}}}"):
            if expression is None:
                open_ranges[-1].parts.append(_Text(literal))
            elif expression == "end":
                if len(open_ranges) == 1:
                    raise InvalidError("invalid JSONPath template: {end} has no {range}")
                open_ranges.pop()
            elif expression.startswith("range "):
                repeated = _Sequence(_compile(expression.removeprefix("range ").strip()))
                open_ranges[-1].parts.append(repeated)
                open_ranges.append(repeated)
            else:
                open_ranges[-1].parts.append(_part(expression))
        if len(open_ranges) > 1:
            raise InvalidError("invalid JSONPath template: {range} has no {end}")
        return cls(open_ranges[0])

    def render(self, value: Any) -> str:
        """Return the text for a decoded JSON document."""
        return "".join(self.root.render(value))


def _parts(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield the expressions and, with None, the texts between them."""
    end = 0
    while end < len(text):
        found = _PART.match(text, end)
        if found is None:
            raise InvalidError(f"invalid JSONPath template at {text[end : end + 20]!r}: a brace or quote is not closed")
        yield (None, found[2]) if found[1] is None else (found[1].strip(), "")
        end = found.end()


def _part(expression: str) -> _Part:
    if expression[:1] not in ("'", '"'):
        return _Path(_compile(expression))
    try:
        return _Text(str(json.loads(f'"{expression[1:-1]}"')))
    except ValueError as error:
        raise InvalidError(f"invalid text {expression} in the JSONPath template: {error}") from error


def _compile(path: str) -> jsonpath.JSONPath:
    """Compile a path of kubectl. It may begin with `$`, `@` or nothing, and escapes dots in names."""
    start = path.removeprefix("$") if path.startswith("$") else path.removeprefix("@")
    dotted = start if not start or start[0] in ".[" else f".{start}"
    try:
        found = jsonpath.compile(f"${_NAME.sub(_step, dotted if dotted != '.' else '')}")
    except jsonpath.JSONPathError as error:
        raise InvalidError(f"invalid JSONPath {path!r}: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(found, jsonpath.JSONPath):
        raise InvalidError(f"invalid JSONPath {path!r}: expected one path")
    return found


def _step(found: re.Match[str]) -> str:
    """Return a step with characters that a dotted name cannot have, in brackets."""
    if found[1] is not None or not {"\\", "/"} & set(found[2]):
        return found[0]
    name = re.sub(r"\\(.)", r"\1", found[2])
    return f"[{json.dumps(name)}]"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
