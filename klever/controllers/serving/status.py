"""What a Serving's status says. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from klever.api.kinds import Object
from klever.controllers.serving.plan import Plan, PredictorPlan
from klever.controllers.serving.snapshot import Resolution, Snapshot, pin_of
from klever.reconcile.conditions import Condition, merge_conditions
from klever.traffic.shares import format_shares

__all__ = ["deleting_status", "status_of"]


def status_of(snapshot: Snapshot, plan: Plan) -> dict[str, Any]:
    """Return the whole status that the plan amounts to once it is applied."""
    metadata = snapshot.serving["metadata"]
    specs = {p["name"]: p for p in snapshot.serving["spec"]["predictors"]}
    conditions = (_ready(snapshot, plan), _model_resolved(snapshot), _signature_pending(snapshot), _routes_ready(plan))
    return {
        "phase": _phase(snapshot, plan),
        "url": snapshot.url,
        "traffic": _traffic(plan),
        "replicas": f"{sum(p.serving for p in plan.predictors)}/{sum(_wanted(p) for p in specs.values())}",
        "revision": snapshot.serving.get("status", {}).get("revision", 0),
        "observedGeneration": metadata["generation"],
        "conditions": merge_conditions(
            snapshot.serving.get("status", {}).get("conditions", []),
            conditions,
            generation=metadata["generation"],
            now=snapshot.now,
        ),
        "predictors": [_predictor(snapshot, plan, p, specs[p.name]) for p in plan.predictors],
    }


def deleting_status(serving: Object, now: datetime) -> dict[str, Any]:
    """Return the whole status of a Serving of which nothing runs any more, or will in a moment."""
    old = serving.get("status", {})
    why = ("False", "Deleting", "it is being deleted: nothing of it takes requests any more")
    conditions = merge_conditions(
        old.get("conditions", []),
        (Condition("Ready", *why), Condition("RoutesReady", *why)),
        generation=serving["metadata"]["generation"],
        now=now,
    )
    gone = {"url": "", "traffic": "", "replicas": "0/0", "predictors": []}
    return {**old, **gone, "phase": "Deleting", "conditions": conditions}


def _wanted(spec: dict[str, Any]) -> int:
    """Of a predictor whose model is not known yet, too: those are missing as much."""
    return int(spec.get("replicas", 1))


def _is_ready(predictor: PredictorPlan) -> bool:
    wanted = predictor.wanted
    return wanted is not None and predictor.live == wanted.id and predictor.ready >= wanted.replicas


def _serves(plan: Plan) -> bool:
    return any(t.http and (t.weight > 0 or t.matches) for t in plan.route.targets)


def _phase(snapshot: Snapshot, plan: Plan) -> str:
    if not plan.trouble and all(_is_ready(p) for p in plan.predictors):
        return "Ready"
    was_ready = snapshot.serving.get("status", {}).get("phase") in ("Ready", "Degraded")
    failed = bool(plan.trouble) or any(p.failed for p in plan.predictors)
    missing = any(m.state is Resolution.WAITING for m in snapshot.models.values())
    if _serves(plan) and (was_ready or failed or missing):
        return "Degraded"
    if failed:
        return "Failed"
    waiting = any(m.state is not Resolution.RESOLVED for m in snapshot.models.values())
    return "Pending" if waiting else "Deploying"


def _traffic(plan: Plan) -> str:
    return format_shares({t.predictor: t.weight for t in plan.route.targets if not t.matches and t.http})


def _ready(snapshot: Snapshot, plan: Plan) -> Condition:
    if plan.trouble:
        return Condition("Ready", "False", "Refused" if plan.refused else "NotApplied", plan.trouble[:4096])
    troubled = [p for p in plan.predictors if not _is_ready(p)]
    if not troubled:
        return Condition("Ready", "True", "Serving", "every predictor answers inference requests")
    denied = any(m.state is Resolution.DENIED for m in snapshot.models.values())
    reason = "PredictorFailed" if any(p.failed for p in troubled) else "PredictorsNotReady"
    reason = "CodeNotAllowed" if denied else reason
    message = "; ".join(f"{p.name}: {p.message or 'is being moved to'}" for p in troubled)
    return Condition("Ready", "False", reason, message[:4096])


def _model_resolved(snapshot: Snapshot) -> Condition:
    for name, model in snapshot.models.items():
        if model.state in (Resolution.WAITING, Resolution.FAILED, Resolution.DENIED):
            return Condition("ModelResolved", "False", model.reason, f"{name}: {model.message}"[:4096])
    return Condition("ModelResolved", "True", "Pinned", "every model is pinned by its digest")


def _signature_pending(snapshot: Snapshot) -> Condition:
    for name, model in snapshot.models.items():
        if model.state is Resolution.SIGNATURE_PENDING:
            return Condition("SignaturePending", "True", "Extracting", f"{name}: {model.message}"[:4096])
    return Condition("SignaturePending", "False", "Known", "no model is being inspected or read")


def _routes_ready(plan: Plan) -> Condition:
    if plan.trouble:
        return Condition("RoutesReady", "False", "Refused" if plan.refused else "NotApplied", plan.trouble[:4096])
    if not _serves(plan):
        return Condition("RoutesReady", "False", "NoEndpoints", "no predictor is ready to take requests")
    return Condition("RoutesReady", "True", "Published", "requests reach the predictors")


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
        "ready": _is_ready(predictor),
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
