"""Compares an object of a cluster with the applied one, so that an idle controller writes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from klever.api.kinds import Object
from klever.api.quantities import read_quantity

__all__ = ["covers", "mark"]

_APPLIED: Final = "kleveross.io/applied"
"""Annotation: a hash of the object that was applied. It tells of fields that the object has no longer."""


def mark(wanted: Object) -> Object:
    """Return the object with a hash of itself, so that `covers` detects fields that an older object left behind."""
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
    metadata = wanted["metadata"]
    annotations = {**metadata.get("annotations", {}), _APPLIED: digest}
    return {**wanted, "metadata": {**metadata, "annotations": annotations}}


def covers(live: Any, wanted: Any) -> bool:
    """Return whether `live` has everything of `wanted`. A server adds fields to objects, and writes quantities anew.

    Lists must have equal lengths. Empty fields of `wanted` may be absent.
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
