"""What a Serving's status says. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from klever.api.kinds import Object
from klever.controllers.serving.conditions import conditions_of, phase_of
from klever.controllers.serving.plan import Plan, PredictorPlan
from klever.controllers.serving.snapshot import Resolution, Snapshot, pin_of
from klever.reconcile.conditions import Condition, merge_conditions
from klever.traffic.shares import format_shares

__all__ = ["deleting_status", "status_of"]

_DELETED = (("Ready", "False"), ("Progressing", "True"), ("RoutesReady", "False"))


def status_of(snapshot: Snapshot, plan: Plan) -> dict[str, Any]:
    """Return the whole status that the plan amounts to once it is applied."""
    metadata = snapshot.serving["metadata"]
    specs = {p["name"]: p for p in snapshot.serving["spec"]["predictors"]}
    return {
        "phase": phase_of(snapshot, plan),
        "url": snapshot.url,
        "traffic": _traffic(plan),
        "replicas": f"{sum(p.serving for p in plan.predictors)}/{sum(_wanted(p) for p in specs.values())}",
        "revision": snapshot.serving.get("status", {}).get("revision", 0),
        "observedGeneration": metadata["generation"],
        "conditions": merge_conditions(
            snapshot.serving.get("status", {}).get("conditions", []),
            conditions_of(snapshot, plan),
            generation=metadata["generation"],
            now=snapshot.now,
        ),
        "predictors": [_predictor(snapshot, plan, p, specs[p.name]) for p in plan.predictors],
    }


def deleting_status(serving: Object, now: datetime) -> dict[str, Any]:
    """Return the whole status of a Serving of which nothing runs any more, or will in a moment."""
    old = serving.get("status", {})
    why = ("Deleting", "it is being deleted: nothing of it takes requests any more")
    conditions = merge_conditions(
        old.get("conditions", []),
        (Condition(type_, status, *why) for type_, status in _DELETED),
        generation=serving["metadata"]["generation"],
        now=now,
    )
    gone = {"url": "", "traffic": "", "replicas": "0/0", "predictors": []}
    return {**old, **gone, "phase": "Deleting", "conditions": conditions}


def _wanted(spec: dict[str, Any]) -> int:
    """Of a predictor whose model is not known yet, too: those are missing as much."""
    return int(spec.get("replicas", 1))


def _traffic(plan: Plan) -> str:
    return format_shares({t.predictor: t.weight for t in plan.route.targets if not t.matches and t.http})


def _predictor(snapshot: Snapshot, plan: Plan, predictor: PredictorPlan, spec: dict[str, Any]) -> dict[str, Any]:
    model = snapshot.models[predictor.name]
    status: dict[str, Any] = {
        "name": predictor.name,
        "model": spec.get("model", ""),
        "runtime": model.runtime,
        "trust": model.trust or "",
        "workload": predictor.live,
        "replicas": _wanted(spec),
        "readyReplicas": predictor.serving,
        "ready": predictor.is_ready,
        "message": predictor.message[:4096],
        "observedGeneration": snapshot.serving["metadata"]["generation"],
    }
    if model.version is not None and model.state is Resolution.RESOLVED:
        status |= {"digest": str(model.version.digest), "format": model.version.metadata.format}
    elif model.reason != "ModelNotFound":  # a registry that is away takes no pin: the tag may have moved meanwhile
        status |= pin_of(snapshot.serving, spec)
    if not predictor.matches:
        target = next((t for t in plan.route.targets if t.predictor == predictor.name), None)
        status["traffic"] = target.weight if target is not None and target.http else 0
    return status
