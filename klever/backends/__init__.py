"""The contract of a backend, which runs a Serving's replicas.

The contract is declarative: `ensure` names all workloads of one Serving, and the backend removes others. A backend
pulls the pinned model, prepares the runtime's environments, and starts, probes and restarts replicas by itself. `watch`
yields every change. A backend never touches routes. Only `klever.cmd` chooses implementations.
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
from klever.runtimes.tuning import Tuning

__all__ = [
    "Autoscaling",
    "Backend",
    "Instance",
    "InstancePhase",
    "PredictorWorkload",
    "Rendering",
    "ServingKey",
    "Workload",
]


@dataclass(frozen=True, slots=True, order=True)
class ServingKey:
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """How the number of replicas follows the load: between `least` and `most`, exactly one of the others decides.

    `cpu` and `memory` are percentages of what a replica requests. `metric` names a metric of pods, and `average` is the
    quantity of it to keep.
    """

    least: int
    most: int
    cpu: int = 0
    memory: int = 0
    metric: str = ""
    average: str = ""


@dataclass(frozen=True, slots=True)
class PredictorWorkload:
    """A set of equal replicas.

    `id` is a short hash of everything below except `replicas`, `signature`, `trust` and `autoscaling`. Another id means
    another set of replicas, in addition to the old one. With `autoscaling`, `replicas` is 0, or how many the set begins
    with. `predictor` is the predictor that uses it, or the first of several; it may
    change while the replicas run. `model` is a reference pinned by manifest digest, empty for a command without a
    model. `content` is the content layer's digest (the key of the unpacked model). `env` (Kubernetes' EnvVar objects)
    and `resources` (`requests` and `limits`, quantities by name) are as the spec has them. `image`, with its `command`,
    `args` and `ports` (numbers by name), is a user's own server. `pod` is a strategic merge patch of the pod template.
    `trust` is its trust class.
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
    tuning: Tuning = field(default_factory=Tuning)
    autoscaling: Autoscaling | None = None
    image: str = ""
    args: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workload:
    """All workloads of one Serving.

    `predictors` have different ids. `keep` names running workloads that stay unchanged, because they still receive
    traffic. `shares` are the percentages of the requests without a header match, by predictor, for a backend that
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
    """Not started: the model is being pulled or the environment prepared. The message has the progress."""
    STARTING = "Starting"
    READY = "Ready"
    """The replica answered the last health check, an inference. The message says if the model rejected the zeros."""
    BACK_OFF = "BackOff"
    """It ended or hung, and waits for its next start. The message says why, with the last log lines."""
    FAILED = "Failed"
    """It cannot work: the model does not unpack, or the runtime rejects it. Only a change retries it."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The current state of one replica.

    `http`, `grpc` and `metrics` are endpoints, `HOST:PORT` or `unix:PATH`, empty until the replica accepts requests.
    Replicas that share a load balancer, such as a Service of Kubernetes, have the same endpoint. Metrics are at the
    path `/metrics`. `sandbox` is the level of the replica's sandbox, empty until it runs; `sandbox_gaps` says what that
    does not enforce because the kernel is too old. `trust` is that of its workload. `index` numbers the replicas of a
    workload from 0: scaling down removes the highest numbers. `predictor` is empty until `ensure` names it.
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
    """The preview of a predictor: the generated files by path, and a Ready instance."""

    files: Mapping[str, str]
    instance: Instance


class Backend(Protocol):
    """Runs the replicas of Servings. Every call can be repeated with the same or newer arguments."""

    routes_shares: bool
    """Whether `ensure` routes the requests without a header match, by `Workload.shares`.

    The router then publishes only the targets with header matches, before `ensure`, because an older route wins.
    """

    def check(self, predictor: PredictorWorkload) -> tuple[FieldViolation, ...]:
        """Return what this backend does not support, with field paths below the predictor. Pure."""

    async def render(self, key: ServingKey, predictor: PredictorWorkload, files: Sequence[str]) -> Rendering:
        """Return what `ensure` would create for a predictor that passed `check`. Creates nothing and pulls no model.

        `files` are the names of the model's files in its metadata; empty if it lists none. Raises `InvalidError` for a
        model that cannot be served, `FailedPreconditionError` if its files are unknown.
        """

    async def ensure(self, workload: Workload) -> None:
        """Run exactly these workloads. Returns before they are ready; `watch` yields their progress.

        Stops replicas of other workloads gracefully and removes them, unless `keep` names them.
        """

    async def observe(self, key: ServingKey) -> tuple[Instance, ...]:
        """Return the current replicas of the Serving, sorted by name."""

    async def remove(self, key: ServingKey) -> None:
        """Stop and remove all replicas of the Serving. Return when none runs. An unknown key is not an error."""

    async def list(self) -> tuple[ServingKey, ...]:
        """Return every Serving that has replicas, to find orphans after a restart."""

    def logs(self, key: ServingKey, instance: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        """Yield log lines of one replica. Raises `NotFoundError` for an unknown one."""

    def watch(self) -> AsyncIterator[ServingKey]:
        """Yield every Serving that has replicas, then every Serving whose instances change. Never ends by itself."""
