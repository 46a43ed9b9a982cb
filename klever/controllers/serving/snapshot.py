"""What deciding about a Serving needs: everything is gathered before, nothing is asked for after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from klever.api.kinds import Object
from klever.backends import Instance, PredictorWorkload
from klever.catalog.catalogue import Version
from klever.controllers.jobs import WantedJob
from klever.errors import FieldViolation
from klever.formats import Trust
from klever.routers import Route
from klever.runtimes.protocols import OPEN_INFERENCE, WireProtocol

__all__ = ["Fallback", "Resolution", "ResolvedModel", "Snapshot", "pin_of"]


class Resolution(StrEnum):
    """How far a predictor's model is."""

    RESOLVED = "Resolved"
    WAITING = "Waiting"
    """The registry does not have it (yet) or does not answer, or its signature was not read: tried again."""
    SIGNATURE_PENDING = "SignaturePending"
    """A ModelJob is inspecting it, or reading its signature."""
    CONVERTING = "Converting"
    """No runtime serves its format, and a ModelJob writes it in one that is served."""
    FAILED = "Failed"
    """It can never be served as it is."""
    DENIED = "Denied"
    """It is code, and the project does not allow code: nothing of it may run."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What became of one predictor's reference. `version` is None for a command without a model, and until RESOLVED.

    `runtime` is the one that the predictor names, or the default of the model's format; `protocol` is what it speaks,
    once RESOLVED, and Open Inference until then. `reason` is the condition's, while it is WAITING, FAILED or DENIED.
    `trust` is None until it is known.
    """

    state: Resolution
    message: str = ""
    version: Version | None = None
    runtime: str = ""
    reason: str = ""
    protocol: WireProtocol = OPEN_INFERENCE
    trust: Trust | None = None
    job: WantedJob | None = None
    """The job that has to be created, while it is SIGNATURE_PENDING or CONVERTING; None if it runs already."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """What the last good revision runs as one predictor. `share` is None for a predictor with matches."""

    workload: PredictorWorkload
    protocol: WireProtocol
    share: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`models` by predictor name; `instances` are those that may run; `route` is what is published now."""

    serving: Object
    models: dict[str, ResolvedModel]
    instances: tuple[Instance, ...]
    route: Route | None
    url: str
    now: datetime
    violations: Mapping[str, tuple[FieldViolation, ...]] = field(default_factory=dict)
    """Why predictors whose models are resolved cannot run as their specs ask, by predictor name."""
    last_good: Mapping[str, Fallback] = field(default_factory=dict)
    """What the last revision that was Ready runs, by predictor name. Empty if the spec is that revision's."""


def pin_of(serving: Object, predictor: dict[str, Any]) -> dict[str, str]:
    """Return `digest` and `format` that the predictor's reference was pinned to; empty if it was not yet.

    The pin lasts until the reference changes: a change of replicas or shares does not change the version.
    """
    this = (predictor["name"], predictor.get("model", ""))
    for status in serving.get("status", {}).get("predictors", []):
        if (status["name"], status.get("model")) == this:
            return {field: status[field] for field in ("digest", "format") if status.get(field)}
    return {}
