"""The options of built-in runtimes that follow from the limits of the platform."""

from __future__ import annotations

from typing import Any, Final

from klever.limits import Limits

__all__ = ["bounded"]

_BOUNDED: Final = ("openscoring", "triton")


def bounded(limits: Limits) -> dict[str, dict[str, Any]]:
    """Return the options of each runtime that takes limits, by its name."""
    return {name: {"limits": limits} for name in _BOUNDED}
