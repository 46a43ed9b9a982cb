"""The HorizontalPodAutoscaler and the PodDisruptionBudget of a workload.

Sources: kubernetes.io/docs/reference/kubernetes-api, HorizontalPodAutoscaler v2 and PodDisruptionBudget v1.
"""

from __future__ import annotations

from typing import Any

from klever.api.kinds import Object
from klever.backends import Autoscaling, PredictorWorkload, Workload
from klever.backends.kubernetes.manifests import build_labels, child, object_name
from klever.backends.kubernetes.settings import ReplicaSettings
from klever.backends.kubernetes.sizes import is_autoscaled, most_replicas
from klever.kube.kinds import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET

__all__ = ["autoscaler", "budget"]


def autoscaler(workload: Workload, predictor: PredictorWorkload, settings: ReplicaSettings) -> Object | None:
    """Return the autoscaler of a workload; None if the spec fixes the number of its replicas."""
    scaling = predictor.autoscaling
    if scaling is None or not is_autoscaled(predictor):
        return None
    target = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "name": object_name(workload.key, predictor.id),
    }
    bounds = {"minReplicas": scaling.least, "maxReplicas": scaling.most}
    spec = {"scaleTargetRef": target, **bounds, "metrics": [_metric(scaling)]}
    return child(AUTOSCALER, workload, predictor, settings) | {"spec": spec}


def budget(workload: Workload, predictor: PredictorWorkload, settings: ReplicaSettings) -> Object | None:
    """Return the disruption budget of a workload, which lets one replica go at a time; None for a single replica."""
    if most_replicas(predictor) < 2:
        return None
    selector = {"matchLabels": build_labels(workload.key, predictor.id)}
    return child(DISRUPTION_BUDGET, workload, predictor, settings) | {
        "spec": {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    }


def _metric(scaling: Autoscaling) -> dict[str, Any]:
    if scaling.metric:
        target = {"type": "AverageValue", "averageValue": scaling.average}
        return {"type": "Pods", "pods": {"metric": {"name": scaling.metric}, "target": target}}
    name, percent = ("cpu", scaling.cpu) if scaling.cpu else ("memory", scaling.memory)
    return {
        "type": "Resource",
        "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}},
    }
