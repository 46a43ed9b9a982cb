"""How many replicas a workload may have. Pure."""

from __future__ import annotations

from klever.backends import PredictorWorkload

__all__ = ["first_replicas", "is_autoscaled", "most_replicas"]


def is_autoscaled(predictor: PredictorWorkload) -> bool:
    """Return whether an autoscaler chooses the number of replicas. One that is turned off has none."""
    return predictor.autoscaling is not None and predictor.replicas > 0


def most_replicas(predictor: PredictorWorkload) -> int:
    if predictor.autoscaling is None or not predictor.replicas:
        return predictor.replicas
    return predictor.autoscaling.most


def first_replicas(predictor: PredictorWorkload, now: int) -> int:
    """Return with how many replicas an autoscaler takes over a Deployment that has `now`."""
    scaling = predictor.autoscaling
    return min(max(predictor.replicas, now), scaling.most) if scaling is not None else predictor.replicas
