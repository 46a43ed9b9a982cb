"""The operator's settings for the pods of replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from klever.api.kinds import Object
from klever.backends import PredictorWorkload, Workload
from klever.limits import DEFAULTS, Limits

__all__ = ["Image", "ReplicaSettings"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image with a Python and the environments of a runtime, whose directories are by name."""

    name: str
    python: str = "python3"
    environments: Mapping[str, PurePosixPath] = field(default_factory=dict)


def _no_owner(_: Workload) -> None:
    return None


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """`image` holds Klever, `initializer` starts its storage initializer with a document's path as the last argument.

    `images` has the image of each set of environments that a runtime needs. `secrets` returns how a replica pulls its
    model. `owner` returns the owner reference of a workload's objects: Kubernetes deletes them with that owner.
    `pod` is a strategic merge patch of the template of all pods, before that of a predictor. `admitted` are the
    NetworkPolicyPeers of the gateway and the control plane: nothing else reaches the replicas. `drain_s` is how long a
    server that is about to stop keeps accepting requests, because Kubernetes removes its endpoint later.
    """

    image: str
    images: Mapping[frozenset[str], Image]
    initializer: Sequence[str]
    secrets: Callable[[PredictorWorkload], Mapping[str, Any]] = lambda _: {}
    owner: Callable[[Workload], Object | None] = _no_owner
    pull_secrets: tuple[str, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    admitted: tuple[Mapping[str, Any], ...] = ()
    model_bytes: int = 64 << 30
    shared_memory_bytes: int = 1 << 30
    user: int = 65532
    drain_s: int = 5
    limits: Limits = DEFAULTS
