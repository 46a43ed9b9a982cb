"""The resources of a predictor, as limits of a process of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.errors import FieldViolation

__all__ = ["Resources", "check_resources", "read_resources"]

_SUFFIXES: Final[Mapping[str, Mapping[str, float]]] = {
    "cpu": {"": 1, "m": 1e-3},
    "memory": {
        "": 1,
        "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
        "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
    },
}  # fmt: skip
_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits, 0 for none: `cpu` is in cores, `memory_bytes` is resident memory."""

    cpu: float = 0.0
    memory_bytes: int = 0


def read_resources(resources: Mapping[str, Any]) -> Resources:
    """Return the limits of resources that `check_resources` passed."""
    return Resources(_number(resources, "cpu") or 0.0, int(_number(resources, "memory") or 0))


def check_resources(resources: Mapping[str, Any]) -> Iterator[FieldViolation]:
    """Yield a violation for each invalid quantity, and for resources that processes here cannot have."""
    for name in _SUFFIXES:
        if _number(resources, name) is None:
            yield FieldViolation(
                f"resources.{name}", f"invalid quantity {resources[name]!r}: must be a number such as 500m or 512Mi"
            )
    if int(resources.get("gpu") or 0):
        yield FieldViolation("resources.gpu", "must be 0: processes on this machine have no access to GPUs")


def _number(resources: Mapping[str, Any], name: str) -> float | None:
    """Return a quantity such as `500m` or `512Mi` in cores or bytes; 0 if it is unset, None if it is invalid."""
    text = str(resources.get(name, ""))
    if not text:
        return 0.0
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in _SUFFIXES[name]:
        return None
    return float(match[1]) * _SUFFIXES[name][match[2]]
