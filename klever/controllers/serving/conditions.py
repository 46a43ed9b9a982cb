"""Computes the conditions and the phase of a Serving. Pure functions.

Ready tells whether requests are answered. Progressing tells whether the spec is rolled out. During a rollout Ready
stays True while the previous revision answers. Its reason and message still name the fault.
"""

from __future__ import annotations

from typing import NamedTuple

from klever.controllers.serving.plan import Plan
from klever.controllers.serving.predictors import PredictorPlan
from klever.controllers.serving.progress import is_complete
from klever.controllers.serving.snapshot import Resolution, Snapshot
from klever.controllers.serving.strategy import EXCEEDED
from klever.reconcile.conditions import Condition

__all__ = ["build_conditions", "choose_phase"]

_MOST = 4096
"""The maximum length of a message, in characters."""
_COMPLETE = ("Complete", "the spec is rolled out")
_OFF = ("ScaledToZero", "the predictors have no replicas: nothing takes requests")
_SHARES_OFF = ("ScaledToZero", "the predictors with a share have no replicas: only requests by header are answered")


def build_conditions(snapshot: Snapshot, plan: Plan, *, late: bool) -> tuple[Condition, ...]:
    """Return the conditions: Ready, Progressing, then the others. `late` means that the deadline has passed."""
    fault = None if is_complete(plan) else _fault(snapshot, plan, late=late)
    return (
        _ready(snapshot, plan, fault),
        _progressing(plan, fault),
        _model_resolved(snapshot),
        _signature_known(snapshot),
        _routes_ready(plan),
    )


def choose_phase(snapshot: Snapshot, plan: Plan, *, late: bool) -> str:
    """Return the phase, which sums up Ready and Progressing in one word."""
    if is_complete(plan):
        return "Ready" if _serves_shares(plan) else "ScaledToZero"
    fault = _fault(snapshot, plan, late=late)
    if _serves(plan):
        return "Degraded" if fault.is_fault or _was_degraded(snapshot) else "Deploying"
    if fault.is_final:
        return "Failed"
    unresolved = any(m.state is not Resolution.RESOLVED for m in snapshot.models.values())
    return "Pending" if unresolved else "Deploying"


def _was_degraded(snapshot: Snapshot) -> bool:
    """Return whether the status already reports this spec as Degraded. A restarting replica does not end that."""
    status = snapshot.serving.get("status", {})
    before = (status.get("observedGeneration"), status.get("phase"))
    return before == (snapshot.serving["metadata"]["generation"], "Degraded")


def _serves(plan: Plan) -> bool:
    return any(t.http and (t.weight > 0 or t.matches) for t in plan.route.targets)


def _serves_shares(plan: Plan) -> bool:
    """Return whether requests that match no header rule are answered. Without such requests, any answers count."""
    shared = [t for t in plan.route.targets if not t.matches]
    return any(t.http and t.weight > 0 for t in shared) if shared else _serves(plan)


def _off(plan: Plan) -> tuple[str, str]:
    return _SHARES_OFF if _serves(plan) else _OFF


def _ready(snapshot: Snapshot, plan: Plan, why: _Why | None) -> Condition:
    """Return the Ready condition: True if every share of the requests is answered, by this revision or the previous."""
    if why is None:
        if not _serves_shares(plan):
            return Condition("Ready", "False", *_off(plan))
        return Condition("Ready", "True", "Serving", "every predictor answers inference requests")
    if plan.trouble:
        return Condition("Ready", "False", why.reason, why.message)
    if _serves_shares(plan) and not _has_lost(snapshot, plan):
        reason = why.reason if why.is_fault else "Serving"
        return Condition(
            "Ready", "True", reason, f"requests are answered, but the spec is not rolled out: {why.message}"[:_MOST]
        )
    return Condition("Ready", "False", why.reason if why.is_fault else "PredictorsNotReady", why.message)


def _has_lost(snapshot: Snapshot, plan: Plan) -> bool:
    """Return whether a predictor has lost its requests to a fault, and not to an ordinary rollout."""
    old = snapshot.serving.get("status", {}).get("conditions", ())
    was_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in old)
    served = {t.predictor for t in plan.route.targets if t.http}
    missing = [p for p in plan.predictors if p.name not in served and not p.is_off]
    return any(not was_ready or _is_faulty(snapshot, p) for p in missing)


def _is_faulty(snapshot: Snapshot, predictor: PredictorPlan) -> bool:
    return predictor.failed or predictor.has_crashed or snapshot.models[predictor.name].state is Resolution.WAITING


def _progressing(plan: Plan, why: _Why | None) -> Condition:
    if why is None:
        return Condition("Progressing", "False", *(_COMPLETE if _serves_shares(plan) else _off(plan)))
    return Condition("Progressing", "False" if why.is_final else "True", why.reason, why.message)


class _Why(NamedTuple):
    """The reason why a spec is not rolled out yet. Waiting is not a fault. A final fault needs a change by the user."""

    reason: str
    message: str
    is_fault: bool = True
    is_final: bool = False


def _fault(snapshot: Snapshot, plan: Plan, *, late: bool) -> _Why:
    """Return the most important reason why the spec is not rolled out."""
    troubles = _troubles(plan)
    if plan.trouble:
        return _Why("Refused" if plan.refused else "NotApplied", plan.trouble[:_MOST], is_final=plan.refused)
    if any(m.state is Resolution.DENIED for m in snapshot.models.values()):
        return _Why("CodeNotAllowed", troubles, is_final=True)
    if any(p.failed for p in plan.predictors):
        return _Why("PredictorFailed", troubles, is_final=True)
    if late:
        return _Why(EXCEEDED, troubles, is_final=True)
    return _wait(snapshot, plan, troubles)


def _wait(snapshot: Snapshot, plan: Plan, troubles: str) -> _Why:
    """Return the reason why a rollout that can still succeed is waiting."""
    for model in snapshot.models.values():
        if model.state is not Resolution.RESOLVED:
            return _Why(model.reason or str(model.state), troubles, is_fault=model.state is Resolution.WAITING)
    for predictor in plan.predictors:
        if predictor.has_crashed and predictor.worst is not None:
            return _Why(_camel_case(predictor.worst.reason) or "ReplicaEnded", troubles)
    return _Why("ReplicasStarting", troubles, is_fault=False)


def _camel_case(reason: str) -> str:
    """Convert the reason of an error, such as DISK_FULL, to the reason of a condition, such as DiskFull."""
    return "".join(part.capitalize() for part in reason.split("_")) if reason.isupper() else reason


def _troubles(plan: Plan) -> str:
    return "; ".join(_trouble(p) for p in plan.predictors if not p.is_ready)[:_MOST]


def _trouble(predictor: PredictorPlan) -> str:
    return f"{predictor.name}: {predictor.message or 'requests are moving to it'}"


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
