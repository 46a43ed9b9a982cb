"""The fields of a predictor that only Kubernetes supports."""

from __future__ import annotations

from collections.abc import Iterator

from klever.backends import PredictorWorkload
from klever.errors import FieldViolation

__all__ = ["check_features"]


def check_features(predictor: PredictorWorkload) -> Iterator[FieldViolation]:
    """Yield a violation for each field that processes of this machine cannot honour."""
    if predictor.autoscaling is not None:
        yield FieldViolation("autoscaling", "is supported on Kubernetes only: set replicas")
    if predictor.image:
        yield FieldViolation("image", "is supported on Kubernetes only: set a command")
    if predictor.pod:
        yield FieldViolation("pod", "is supported on Kubernetes only: remove it")
