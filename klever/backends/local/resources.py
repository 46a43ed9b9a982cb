"""The resources of a predictor as limits of a process on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.errors import FieldViolation

__all__ = ["Resources", "check_resources", "read_resources"]

_UNITS: Final[Mapping[str, float]] = {
    "": 1, "m": 1e-3,
    "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")
_KNOWN: Final = ("cpu", "memory")

Quantities = Mapping[str, Any]
"""Quantities by the names of resources, as in the spec."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits, 0 for none: `cpu` is in cores, `memory_bytes` is resident memory. `requested_bytes` must be free."""

    cpu: float = 0.0
    memory_bytes: int = 0
    requested_bytes: int = 0


def read_resources(resources: Mapping[str, Quantities]) -> Resources:
    """Return resources that passed `check_resources`."""
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    memory, requested = (int(_number(quantities.get("memory", 0)) or 0) for quantities in (limits, requests))
    return Resources(_number(limits.get("cpu", 0)) or 0.0, memory, requested)


def check_resources(resources: Mapping[str, Quantities]) -> Iterator[FieldViolation]:
    """Yield a violation for each invalid quantity, and for resources that local processes cannot have."""
    for part, quantities in resources.items():
        for name, quantity in quantities.items():
            number = _number(quantity)
            if number is None:
                why = f"invalid quantity {quantity!r}: must be a number such as 500m or 512Mi"
                yield FieldViolation(f"resources.{part}.{name}", why)
            elif number and name not in _KNOWN:
                why = f"must be 0: processes on this machine have no access to {name}"
                yield FieldViolation(f"resources.{part}.{name}", why)
    yield from _excess(resources.get("requests", {}), resources.get("limits", {}))


def _excess(requests: Quantities, limits: Quantities) -> Iterator[FieldViolation]:
    for name in requests.keys() & limits.keys():
        if (_number(requests[name]) or 0) > (_number(limits[name]) or 0):
            why = f"must be at most the limit {limits[name]}, not {requests[name]}"
            yield FieldViolation(f"resources.requests.{name}", why)


def _number(quantity: object) -> float | None:
    """Return a quantity such as `500m` or `512Mi` in cores or bytes; None if it is invalid."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None or match[2] not in _UNITS:
        return None
    return float(match[1]) * _UNITS[match[2]]
