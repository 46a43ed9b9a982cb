"""What a predictor may have on Kubernetes only."""

from __future__ import annotations

from dataclasses import replace

from klever.backends import Autoscaling, PredictorWorkload
from klever.backends.local.features import check_features

PLAIN = PredictorWorkload("main", "r1", 1, "custom", command=("serve",))


def test_a_machine_refuses_what_needs_a_cluster() -> None:
    assert not list(check_features(PLAIN))
    clustered = replace(PLAIN, autoscaling=Autoscaling(1, 2, cpu=80), image="x:1", pod={"spec": {}})
    assert [violation.field for violation in check_features(clustered)] == ["autoscaling", "image", "pod"]
