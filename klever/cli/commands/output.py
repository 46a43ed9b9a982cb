"""Prints objects as a table, JSON or YAML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from klever.api.text import parse_time
from klever.errors import InvalidError

__all__ = ["JSONPATH", "StreamedTable", "age", "print_objects", "print_table", "seconds", "serializes"]

JSONPATH: Final = "jsonpath="
"""The beginning of an output format that is followed by a template."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def serializes(output: str) -> bool:
    """Return whether an output format shows whole objects: JSON, YAML or a JSONPath template."""
    return output in ("json", "yaml") or output.startswith(JSONPATH)


def print_objects(objects: Sequence[dict[str, Any]], output: str, *, single: bool) -> None:
    """Print one object, or a List of them, as JSON, YAML or by a JSONPath template."""
    document: Any = objects[0] if single else {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    if output == "json":
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if output.startswith(JSONPATH):
        from klever.cli.commands.jsonpath import Template

        print(Template.parse(output.removeprefix(JSONPATH)).render(document), end="")
        return
    import yaml

    print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns. An empty cell shows as `-`."""
    StreamedTable(header).print(*rows)


class StreamedTable:
    """A table whose rows arrive in batches. The header comes with the first; a column widens when a row needs it."""

    def __init__(self, header: Sequence[str]) -> None:
        self._header = [list(header)]
        self._widths = [0] * len(header)

    def print(self, *rows: Sequence[object]) -> None:
        cells = [[str(c) if c not in ("", None) else "-" for c in row] for row in rows]
        lines, self._header = [*self._header, *cells], []
        for line in lines:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, line, strict=True)]
        for line in lines:
            padded = (cell.ljust(width) for cell, width in zip(line, self._widths, strict=True))
            print("   ".join(padded).rstrip(), flush=True)


def age(created: str) -> str:
    """Return the age of an object, such as `5s`, `3m`, `2h` or `4d`; empty if the time is empty."""
    try:
        elapsed = int((datetime.now(UTC) - parse_time(created)).total_seconds())
    except ValueError:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if elapsed >= 2 * size:
            return f"{elapsed // size}{unit}"
    return f"{max(elapsed, 0)}s"


def seconds(text: str) -> float:
    """Parse a duration such as `90s`, `5m`, `1h` or `30`. Raises `InvalidError`."""
    number, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "s")
    try:
        duration = float(number) * _UNITS[unit]
    except ValueError:
        duration = -1.0
    if not 0 <= duration < math.inf:  # NaN fails this too
        raise InvalidError(f"invalid duration {text!r}: expected e.g. 90s or 5m")
    return duration
