"""The operator's settings for the pods of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from klever.api.kinds import Object
from klever.executors import Task

__all__ = ["PodSettings"]


def _no_owner(_: Task) -> None:
    return None


@dataclass(frozen=True, slots=True)
class PodSettings:
    """`image` contains Klever, and `images` has the image of each environment by name.

    `command` starts the platform's program, with the path of the task's document as its last argument. `python` is the
    interpreter of an environment's image. `owner` returns the owner reference of a task's objects, with which
    Kubernetes deletes them. `pod` is a strategic merge patch of the template of all pods.
    """

    image: str
    images: Mapping[str, str]
    command: Sequence[str]
    python: str = "python3"
    secrets: Callable[[Task], Mapping[str, Any]] = lambda _: {}
    owner: Callable[[Task], Object | None] = _no_owner
    pull_secrets: tuple[str, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    work_bytes: int = 64 << 30
    user: int = 65532
    env: Mapping[str, str] = field(default_factory=dict)
