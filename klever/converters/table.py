"""The table of converters: a converter is a module and a row here, or one of a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from klever.converters import Converter
from klever.errors import InvalidError
from klever.plugins import Table

__all__ = ["CONVERTERS", "converter"]


def _claims(row: Any) -> tuple[tuple[str, str]]:
    if not isinstance(row, type) or not hasattr(row, "source") or not hasattr(row, "target"):
        raise TypeError(f"expected a class with source and target, not {row!r}")
    return ((row.source, row.target),)


_BUILT_IN: Final[Mapping[tuple[str, str], str]] = {}
"""Source and target format -> the class, as module:Class."""

CONVERTERS: Final = Table[tuple[str, str], type[Converter]]("klever.converters", _BUILT_IN, _claims)
"""The classes by source and target format, with those of plugins."""


def converter(source: str, target: str) -> Converter:
    """Return the converter of a pair; raises `InvalidError` if the table has none."""
    try:
        return CONVERTERS[source, target]()
    except KeyError as error:
        pairs = ", ".join(f"{one} to {other}" for one, other in sorted(CONVERTERS)) or "none"
        raise InvalidError(
            f"no conversion from {source} to {target} is installed; there are: {pairs}", reason="UNSUPPORTED_CONVERSION"
        ) from error
