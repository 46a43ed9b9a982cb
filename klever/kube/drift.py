"""Whether an object of a cluster still is what was applied, so that nothing is written at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from klever.api.quantities import read_quantity

__all__ = ["covers"]


def covers(live: Any, wanted: Any) -> bool:
    """Return whether `live` has everything of `wanted`. A server adds fields to objects, and writes quantities anew.

    Lists must have equal lengths. What is empty in `wanted` may be absent.
    """
    if isinstance(wanted, Mapping):
        return all(covers(_of(live, name), value) for name, value in wanted.items())
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        found = live or ()
        return len(found) == len(wanted) and all(map(covers, found, wanted))
    return live == wanted or (live is None and wanted == "") or _equal_quantities(live, wanted)


def _of(live: Any, name: str) -> Any:
    return live.get(name) if isinstance(live, Mapping) else None


def _equal_quantities(live: Any, wanted: Any) -> bool:
    if not isinstance(live, str) or isinstance(wanted, bool):
        return False
    number = read_quantity(live)
    return number is not None and number == read_quantity(wanted)
