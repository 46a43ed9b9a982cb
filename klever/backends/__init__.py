"""Backends: where a Serving's replicas run.

The contract is declarative: `ensure` names everything of one Serving that must exist, and the backend removes the rest.
A backend pulls the pinned model, prepares the runtime's environments, and starts, probes and restarts replicas on its
own. `watch` yields every change. A backend never touches routes. Only `klever.cmd` chooses implementations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from klever.errors import FieldViolation
from klever.formats import Signature, Trust
from klever.runtimes import Guard

__all__ = ["Backend", "Instance", "InstancePhase", "PredictorWorkload", "Rendering", "ServingKey", "Workload"]


@dataclass(frozen=True, slots=True, order=True)
class ServingKey:
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PredictorWorkload:
    """Replicas that run the same.

    `id` is a short hash of everything below except `replicas`, `signature` and `trust`. Another id means another set of
    replicas, beside the old one. `predictor` is who uses it, the first if several do; it may change while the replicas
    run. `model` is a reference pinned by manifest digest, empty for a command
    without a model. `content` is the content layer's digest (the key of the unpacked model). `env` (Kubernetes' EnvVar
    objects) and `resources` (`requests` and `limits`, quantities by name) are as the spec has them. `trust` says
    what running it can do.
    """

    predictor: str
    id: str
    replicas: int
    runtime: str
    model: str = ""
    content: str = ""
    format: str = ""
    signature: Signature | None = None
    env: tuple[Mapping[str, Any], ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    probe_path: str = ""
    trust: Trust = Trust.CODE


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything of one Serving that must run.

    `predictors` have different ids. `keep` names workloads that run already and stay as they are, because they still
    carry traffic. `shares` are the percentages of the requests without a header match, by predictor, for a backend that
    routes them itself. With `after_the_old` no replica starts before those that are to end have ended: there may be no
    room for both.
    """

    key: ServingKey
    uid: str
    predictors: tuple[PredictorWorkload, ...]
    keep: frozenset[str] = frozenset()
    shares: Mapping[str, int] = field(default_factory=dict)
    after_the_old: bool = False


class InstancePhase(StrEnum):
    PENDING = "Pending"
    """Not started: the model is being pulled or the environment prepared; the message says which, and how far."""
    STARTING = "Starting"
    READY = "Ready"
    """The replica answered the last health check, an inference. The message says how a model refused the zeros."""
    BACK_OFF = "BackOff"
    """Ended or hung, and waits for its next start; the message says why, with the last log lines."""
    FAILED = "Failed"
    """Cannot work as it is: the model does not unpack, or the runtime refuses it. Only a change retries it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One replica as it is now.

    `http`, `grpc` and `metrics` are endpoints, `HOST:PORT` or `unix:PATH`, empty until the replica takes requests.
    Replicas that share a load balancer, such as a Service of Kubernetes, have the same endpoint. Metrics are at the
    path `/metrics`. `sandbox` is the level of the replica's sandbox, empty until it runs; `sandbox_gaps`
    says what that does not enforce because the kernel is too old. `trust` is that of the
    workload that it runs. `index` numbers the replicas of a workload from 0: a workload that gets fewer replicas loses
    those with the highest ones. `predictor` is empty until `ensure` names it.
    """

    name: str
    predictor: str
    workload: str
    phase: InstancePhase
    reason: str = ""
    message: str = ""
    restarts: int = 0
    http: str = ""
    grpc: str = ""
    metrics: str = ""
    sandbox: str = ""
    sandbox_gaps: tuple[str, ...] = ()
    guard: Guard = Guard.NONE
    started_at: datetime | None = None
    trust: Trust = Trust.CODE
    index: int = 0


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a backend would create for a predictor: the generated files by path, and a Ready instance."""

    files: Mapping[str, str]
    instance: Instance


class Backend(Protocol):
    """Runs the replicas of Servings. Every call is safe to repeat, with the same or newer arguments."""

    routes_shares: bool
    """Whether `ensure` routes the requests without a header match, by `Workload.shares`.

    The router then publishes the targets with header matches alone, before `ensure`: an older route wins.
    """

    def check(self, predictor: PredictorWorkload) -> tuple[FieldViolation, ...]:
        """Return what this backend does not support, by field path below the predictor; empty if it can run. Pure."""

    async def render(self, key: ServingKey, predictor: PredictorWorkload, files: Sequence[str]) -> Rendering:
        """Return what `ensure` would create for a predictor that `check` passed. Create nothing, and pull no model.

        `files` are the names of the model's files, as its metadata lists them; empty if it lists none. Raises
        `InvalidError` for a model that cannot be served, `FailedPreconditionError` if its files are unknown.
        """

    async def ensure(self, workload: Workload) -> None:
        """Make exactly these workloads exist. Returns before they are ready; `watch` yields their progress.

        Replicas of other workloads, unless `keep` names them, are stopped gracefully and removed.
        """

    async def observe(self, key: ServingKey) -> tuple[Instance, ...]:
        """Return the Serving's replicas as they are now, sorted by name; empty if there are none."""

    async def remove(self, key: ServingKey) -> None:
        """Stop and remove everything of the Serving. Return when nothing of it runs. An unknown key is not an error."""

    async def list(self) -> tuple[ServingKey, ...]:
        """Return every Serving that has replicas here, to find orphans after a restart."""

    def logs(self, key: ServingKey, instance: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        """Yield log lines of one replica. Raises `NotFoundError` for an unknown one."""

    def watch(self) -> AsyncIterator[ServingKey]:
        """Yield every Serving that has replicas, then each whose instances change. Never ends by itself."""
