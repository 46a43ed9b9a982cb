"""The converters that there are: adding one is a module and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from klever.converters import Converter
from klever.errors import InvalidError

__all__ = ["CONVERTERS", "converter"]

CONVERTERS: Mapping[tuple[str, str], str] = {}
"""Source and target format -> the class, as module:Class."""


def converter(source: str, target: str) -> Converter:
    """Return the converter of a pair; raises `InvalidError` if the table has none."""
    try:
        module, _, name = CONVERTERS[source, target].partition(":")
    except KeyError as error:
        pairs = ", ".join(f"{one} to {other}" for one, other in sorted(CONVERTERS)) or "none"
        raise InvalidError(
            f"no conversion from {source} to {target} is installed; there are: {pairs}", reason="UNSUPPORTED_CONVERSION"
        ) from error
    found: Converter = getattr(import_module(module), name)()
    return found
