"""What the conditions of a Serving say, and its phase. Pure.

Ready says whether requests are answered; Progressing says whether the spec is rolled out. A routine change leaves Ready
True: what served before serves until the new workload does.
"""

from __future__ import annotations

from collections.abc import Iterator

from klever.controllers.serving.plan import Plan, PredictorPlan
from klever.controllers.serving.snapshot import Resolution, ResolvedModel, Snapshot
from klever.reconcile.conditions import Condition

__all__ = ["conditions_of", "phase_of"]

_MOST = 4096
"""Characters of a message."""
_NOT_FOUND = "ModelNotFound"
_OFF = ("ScaledToZero", "the predictors have no replicas: nothing takes requests")


def conditions_of(snapshot: Snapshot, plan: Plan) -> tuple[Condition, ...]:
    """Return the conditions, Ready first."""
    return (
        _ready(snapshot, plan),
        _progressing(snapshot, plan),
        _model_resolved(snapshot),
        _signature_known(snapshot),
        _routes_ready(plan),
    )


def phase_of(snapshot: Snapshot, plan: Plan) -> str:
    """Return the phase: one word for both Ready and Progressing."""
    if _is_complete(plan):
        return "Ready" if _serves_shares(plan) else "ScaledToZero"
    failed = bool(plan.trouble) or any(p.failed for p in plan.predictors)
    waiting = any(m.state is Resolution.WAITING for m in snapshot.models.values())
    if _serves(plan):
        crashed = any(p.has_crashed for p in plan.predictors)
        return "Degraded" if failed or waiting or crashed or _was_degraded(snapshot) else "Deploying"
    if failed:
        return "Failed"
    unresolved = any(m.state is not Resolution.RESOLVED for m in snapshot.models.values())
    return "Pending" if unresolved else "Deploying"


def _was_degraded(snapshot: Snapshot) -> bool:
    """Say whether the same spec was degraded before: a replica that starts again does not end that."""
    status = snapshot.serving.get("status", {})
    before = (status.get("observedGeneration"), status.get("phase"))
    return before == (snapshot.serving["metadata"]["generation"], "Degraded")


def _is_complete(plan: Plan) -> bool:
    return not plan.trouble and all(p.is_ready for p in plan.predictors)


def _serves(plan: Plan) -> bool:
    return any(t.http and (t.weight > 0 or t.matches) for t in plan.route.targets)


def _serves_shares(plan: Plan) -> bool:
    """Say whether the requests that no header match takes are answered."""
    shared = [t for t in plan.route.targets if not t.matches]
    return not shared or any(t.http and t.weight > 0 for t in shared)


def _ready(snapshot: Snapshot, plan: Plan) -> Condition:
    if _is_complete(plan):
        if not _serves_shares(plan):
            return Condition("Ready", "False", *_OFF)
        return Condition("Ready", "True", "Serving", "every predictor answers inference requests")
    if failure := _failure(snapshot, plan):
        return Condition("Ready", "False", *failure)
    if _serves_shares(plan) and not _has_lost(snapshot, plan):
        return Condition("Ready", "True", "Serving", "requests are answered while the spec is rolled out")
    missing = any(m.reason == _NOT_FOUND for m in snapshot.models.values())
    return Condition("Ready", "False", _NOT_FOUND if missing else "PredictorsNotReady", _troubles(plan))


def _has_lost(snapshot: Snapshot, plan: Plan) -> bool:
    """Say whether a predictor misses its requests for another reason than that it is being rolled out."""
    old = snapshot.serving.get("status", {}).get("conditions", ())
    was_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in old)
    served = {t.predictor for t in plan.route.targets if t.http}
    missing = [p for p in plan.predictors if p.name not in served and not p.is_off]
    not_found = any(m.reason == _NOT_FOUND for m in snapshot.models.values())
    return not_found or (bool(missing) and (not was_ready or any(p.has_crashed for p in missing)))


def _progressing(snapshot: Snapshot, plan: Plan) -> Condition:
    if _is_complete(plan):
        off = _OFF if not _serves_shares(plan) else ("Complete", "the spec is rolled out")
        return Condition("Progressing", "False", *off)
    if failure := _failure(snapshot, plan):
        return Condition("Progressing", "True" if failure[0] == "NotApplied" else "False", *failure)
    return Condition("Progressing", "True", next(_waits(snapshot, plan)), _troubles(plan))


def _failure(snapshot: Snapshot, plan: Plan) -> tuple[str, str] | None:
    """Return why the spec is not rolled out as it is, as reason and message; None if it may be still."""
    if plan.trouble:
        return "Refused" if plan.refused else "NotApplied", plan.trouble[:_MOST]
    if any(m.state is Resolution.DENIED for m in snapshot.models.values()):
        return "CodeNotAllowed", _troubles(plan)
    return ("PredictorFailed", _troubles(plan)) if any(p.failed for p in plan.predictors) else None


def _waits(snapshot: Snapshot, plan: Plan) -> Iterator[str]:
    """Yield reasons why the rollout has not ended, the most telling one first."""
    for model in snapshot.models.values():
        if model.state is not Resolution.RESOLVED:
            yield _wait(model)
    for predictor in plan.predictors:
        if predictor.has_crashed and predictor.worst is not None:
            yield predictor.worst.reason or "ReplicaEnded"
    yield "ReplicasStarting"


def _wait(model: ResolvedModel) -> str:
    return model.reason or str(model.state)


def _troubles(plan: Plan) -> str:
    return "; ".join(_trouble(p) for p in plan.predictors if not p.is_ready)[:_MOST]


def _trouble(predictor: PredictorPlan) -> str:
    return f"{predictor.name}: {predictor.message or 'is being moved to'}"


def _model_resolved(snapshot: Snapshot) -> Condition:
    for name, model in snapshot.models.items():
        if model.state in (Resolution.WAITING, Resolution.FAILED, Resolution.DENIED):
            return Condition("ModelResolved", "False", model.reason, f"{name}: {model.message}"[:_MOST])
    return Condition("ModelResolved", "True", "Pinned", "every model is pinned by its digest")


def _signature_known(snapshot: Snapshot) -> Condition:
    for name, model in snapshot.models.items():
        if model.state is Resolution.SIGNATURE_PENDING:
            return Condition("SignatureKnown", "False", "Extracting", f"{name}: {model.message}"[:_MOST])
    return Condition("SignatureKnown", "True", "Known", "no model is being inspected or read")


def _routes_ready(plan: Plan) -> Condition:
    if plan.trouble:
        return Condition("RoutesReady", "False", "Refused" if plan.refused else "NotApplied", plan.trouble[:_MOST])
    if not _serves(plan):
        return Condition("RoutesReady", "False", "NoEndpoints", "no predictor is ready to take requests")
    return Condition("RoutesReady", "True", "Published", "requests reach the predictors")
