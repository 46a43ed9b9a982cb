"""The resources of a container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from klever.api.quantities import read_quantity
from klever.errors import FieldViolation

__all__ = ["check_quantities"]


def check_quantities(resources: Mapping[str, Mapping[str, Any]]) -> Iterator[FieldViolation]:
    """Yield a violation for each invalid quantity."""
    for part, quantities in resources.items():
        for name, quantity in quantities.items():
            if read_quantity(quantity) is None:
                why = f"invalid quantity {quantity!r}: must be a number such as 500m or 512Mi"
                yield FieldViolation(f"resources.{part}.{name}", why)
