"""The resources of a predictor as limits of a process on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.api.quantities import read_quantity
from klever.errors import FieldViolation

__all__ = ["Resources", "check_resources", "read_resources"]

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
    memory, requested = (int(read_quantity(quantities.get("memory", 0)) or 0) for quantities in (limits, requests))
    return Resources(read_quantity(limits.get("cpu", 0)) or 0.0, memory, requested)


def check_resources(resources: Mapping[str, Quantities]) -> Iterator[FieldViolation]:
    """Yield a violation for each invalid quantity, and for resources that local processes cannot have."""
    for part, quantities in resources.items():
        for name, quantity in quantities.items():
            number = read_quantity(quantity)
            if number is None:
                why = f"invalid quantity {quantity!r}: must be a number such as 500m or 512Mi"
                yield FieldViolation(f"resources.{part}.{name}", why)
            elif number and name not in _KNOWN:
                why = f"must be 0: processes on this machine have no access to {name}"
                yield FieldViolation(f"resources.{part}.{name}", why)
    yield from _excess(resources.get("requests", {}), resources.get("limits", {}))


def _excess(requests: Quantities, limits: Quantities) -> Iterator[FieldViolation]:
    for name in requests.keys() & limits.keys():
        if (read_quantity(requests[name]) or 0) > (read_quantity(limits[name]) or 0):
            why = f"must be at most the limit {limits[name]}, not {requests[name]}"
            yield FieldViolation(f"resources.requests.{name}", why)
