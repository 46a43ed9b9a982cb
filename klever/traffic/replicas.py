"""Numbers of processes: a predictor that names none has that of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["runs_own_server", "with_replicas"]


def with_replicas(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the predictors of a spec, each with its number of replicas, or the least of an autoscaled one."""
    default = spec.get("replicas", 1)
    return [{**predictor, "replicas": _replicas(predictor, default)} for predictor in spec["predictors"]]


def runs_own_server(predictor: Mapping[str, Any]) -> bool:
    """Return whether a predictor runs a server of the user: a command or an image."""
    return bool(predictor.get("command") or predictor.get("image"))


def _replicas(predictor: Mapping[str, Any], default: int) -> int:
    replicas: int = predictor.get("replicas", default)
    autoscaling = predictor.get("autoscaling")
    return min(autoscaling.get("min", 1), autoscaling["max"]) if autoscaling and replicas else replicas
