"""Numbers of processes: a predictor that names none has that of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["with_replicas"]


def with_replicas(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the predictors of a Serving's spec, each with its number of replicas."""
    default = spec.get("replicas", 1)
    return [{"replicas": default, **predictor} for predictor in spec["predictors"]]
