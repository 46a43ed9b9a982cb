"""The input of a plan: the controller gathers all of it first and asks for nothing afterwards."""

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

__all__ = ["Fallback", "Resolution", "ResolvedModel", "Snapshot", "read_pin"]


class Resolution(StrEnum):
    """The state of a predictor's model."""

    RESOLVED = "Resolved"
    WAITING = "Waiting"
    """The registry lacks it or does not answer, or its signature could not be read. Klever tries again."""
    SIGNATURE_PENDING = "SignaturePending"
    """A ModelJob inspects it or reads its signature."""
    CONVERTING = "Converting"
    """No runtime serves its format, and a ModelJob converts it to a format that a runtime serves."""
    FAILED = "Failed"
    """It cannot be served without a change by the user."""
    DENIED = "Denied"
    """It is code, and the project does not allow code."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The resolution of one predictor's reference. `version` is None until RESOLVED and for a command without a model.

    `runtime` is the runtime in the spec, or the default of the model's format. `protocol` is its protocol once
    RESOLVED, and Open Inference until then. `reason` is the reason of the condition while WAITING, FAILED or DENIED.
    `trust` is None until it is known.
    """

    state: Resolution
    message: str = ""
    version: Version | None = None
    runtime: str = ""
    reason: str = ""
    protocol: WireProtocol = OPEN_INFERENCE
    trust: Trust | None = None
    tunable: bool = False
    """Whether its runtime supports batching and instances."""
    job: WantedJob | None = None
    """The job to create while SIGNATURE_PENDING or CONVERTING. None if it already exists."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """The workload of one predictor in the last good revision. `share` is None for a predictor with matches."""

    workload: PredictorWorkload
    protocol: WireProtocol
    share: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The observed state. `models` is by predictor name. `instances` may still run. `route` is the published one."""

    serving: Object
    models: dict[str, ResolvedModel]
    instances: tuple[Instance, ...]
    route: Route | None
    url: str
    now: datetime
    violations: Mapping[str, tuple[FieldViolation, ...]] = field(default_factory=dict)
    """The reasons why predictors with resolved models cannot run as specified, by predictor name."""
    last_good: Mapping[str, Fallback] = field(default_factory=dict)
    """The workloads of the last revision that was Ready, by predictor name. Empty if the spec equals that revision."""


def read_pin(serving: Object, predictor: dict[str, Any]) -> dict[str, str]:
    """Return the pinned `digest` and `format` of the predictor's reference. Empty before the first pin.

    A pin lasts until the reference changes. A change of replicas or shares keeps it.
    """
    this = (predictor["name"], predictor.get("model", ""))
    for status in serving.get("status", {}).get("predictors", []):
        if (status["name"], status.get("model")) == this:
            return {field: status[field] for field in ("digest", "format") if status.get(field)}
    return {}
