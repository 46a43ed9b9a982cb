"""Computes the status of a Serving. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from klever.api.kinds import Object
from klever.controllers.serving.conditions import build_conditions, choose_phase
from klever.controllers.serving.plan import Plan
from klever.controllers.serving.predictors import PredictorPlan
from klever.controllers.serving.progress import progress_time, time_left
from klever.controllers.serving.snapshot import Resolution, Snapshot, read_pin
from klever.reconcile.conditions import Condition, merge_conditions
from klever.traffic.replicas import with_replicas
from klever.traffic.shares import format_shares

__all__ = ["SERVING_LABEL", "build_status", "deleting_status"]

SERVING_LABEL: Final = "kleveross.io/serving"
"""The label of the pods of a Serving."""

_DELETED = (("Ready", "False"), ("Progressing", "True"), ("RoutesReady", "False"))


def build_status(snapshot: Snapshot, plan: Plan) -> dict[str, Any]:
    """Return the complete status after the plan is applied."""
    metadata = snapshot.serving["metadata"]
    specs = {p["name"]: p | {"replicas": _replicas(snapshot, plan, p)} for p in with_replicas(snapshot.serving["spec"])}
    traffic = _traffic(plan)
    predictors = [_predictor(snapshot, plan, p, specs[p.name]) for p in plan.predictors]
    progress = progress_time(snapshot, plan, predictors)
    late = any(p.abandoned for p in plan.predictors) or time_left(snapshot, progress) <= timedelta(0)
    return {
        "phase": choose_phase(snapshot, plan, late=late),
        "url": snapshot.url,
        "traffic": traffic,
        "trafficSummary": format_shares({share["predictor"]: share["percent"] for share in traffic}),
        "replicas": sum(
            p["replicas"] for p in specs.values()
        ),  # those of models that are not known yet are missing too
        "readyReplicas": sum(p.serving for p in plan.predictors),
        "selector": f"{SERVING_LABEL}={metadata['name']}",
        "revision": snapshot.serving.get("status", {}).get("revision", 0),
        "observedGeneration": metadata["generation"],
        "conditions": merge_conditions(
            snapshot.serving.get("status", {}).get("conditions", []),
            build_conditions(snapshot, plan, late=late),
            generation=metadata["generation"],
            now=snapshot.now,
        ),
        "progressTime": progress,
        "predictors": predictors,
    }


def deleting_status(serving: Object, now: datetime) -> dict[str, Any]:
    """Return the complete status of a Serving that is being deleted."""
    old = serving.get("status", {})
    why = ("Deleting", "the serving is being deleted and takes no requests")
    conditions = merge_conditions(
        old.get("conditions", []),
        (Condition(type_, status, *why) for type_, status in _DELETED),
        generation=serving["metadata"]["generation"],
        now=now,
    )
    gone = {"url": "", "traffic": [], "trafficSummary": "", "replicas": 0, "readyReplicas": 0, "predictors": []}
    return {**old, **gone, "phase": "Deleting", "conditions": conditions}


def _replicas(snapshot: Snapshot, plan: Plan, predictor: dict[str, Any]) -> int:
    """Return how many replicas a predictor is to have: an autoscaled one may have more than the least number."""
    replicas: int = predictor["replicas"]
    if "autoscaling" not in predictor or not replicas:
        return replicas
    wanted = next((p.wanted.id for p in plan.predictors if p.name == predictor["name"] and p.wanted), "")
    return max(replicas, sum(instance.workload == wanted for instance in snapshot.instances))


def _traffic(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"predictor": t.predictor, "percent": t.weight, "workload": t.workload}
        for t in plan.route.targets
        if not t.matches and t.http
    ]


def _predictor(snapshot: Snapshot, plan: Plan, predictor: PredictorPlan, spec: dict[str, Any]) -> dict[str, Any]:
    model = snapshot.models[predictor.name]
    status: dict[str, Any] = {
        "name": predictor.name,
        "model": spec.get("model", ""),
        "runtime": model.runtime,
        "trust": model.trust.name if model.trust else "",
        "workload": predictor.live,
        "replicas": spec["replicas"],
        "readyReplicas": predictor.serving,
        "updatedReplicas": predictor.ready,
        "ready": predictor.is_ready,
        "message": predictor.message[:4096],
        "observedGeneration": snapshot.serving["metadata"]["generation"],
    }
    if model.version is not None and model.state is Resolution.RESOLVED:
        status |= {"digest": str(model.version.digest), "format": model.version.metadata.format}
    elif model.reason != "ModelNotFound":  # keep the pin while the registry is away: the tag may have moved meanwhile
        status |= read_pin(snapshot.serving, spec)
    if not predictor.matches:
        target = next((t for t in plan.route.targets if t.predictor == predictor.name), None)
        status["traffic"] = target.weight if target is not None and target.http else 0
    return status
