"""The table of converters. A converter is a module and a row here, or comes from a plugin."""

from __future__ import annotations

from typing import Any, Final

from klever.converters import Converter
from klever.converters.builtin import BUILT_IN
from klever.errors import InvalidError
from klever.plugins import Table

__all__ = ["CONVERTERS", "converter"]


_MEMBERS: Final = ("source", "target", "program", "memory", "options")


def _claims(row: Any) -> tuple[tuple[str, str]]:
    if isinstance(row, type) or not all(hasattr(row, name) for name in _MEMBERS):
        raise TypeError(f"expected an object with the members of klever.converters.Converter, not {row!r}")
    return ((row.source, row.target),)


CONVERTERS: Final = Table[tuple[str, str], Converter]("klever.converters", BUILT_IN, _claims)
"""The converters by source and target format, including those of plugins."""


def converter(source: str, target: str) -> Converter:
    """Return the converter of a pair. Raises `InvalidError` if the table has none."""
    try:
        return CONVERTERS[source, target]
    except KeyError as error:
        pairs = ", ".join(f"{one} to {other}" for one, other in sorted(CONVERTERS)) or "none"
        raise InvalidError(
            f"unsupported conversion from {source} to {target}: must be one of {pairs}", reason="UNSUPPORTED_CONVERSION"
        ) from error
