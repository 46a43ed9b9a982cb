"""Quantities of resources as Kubernetes writes them (apimachinery `pkg/api/resource`, Quantity)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["read_quantity"]

_UNITS: Final[Mapping[str, float]] = {
    "": 1, "m": 1e-3,
    "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_MOST: Final = 2.0**63
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")


def read_quantity(quantity: object) -> float | None:
    """Return a quantity such as `500m` or `512Mi` in cores or bytes; None if it is invalid, or above 2^63."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None or match[2] not in _UNITS:
        return None
    value = float(match[1]) * _UNITS[match[2]]
    return value if value < _MOST else None
