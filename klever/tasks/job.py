"""The input of a task, and the errors of its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

from klever.backoff import Backoff
from klever.errors import KleverError, UnavailableError
from klever.limits import DEFAULTS, Limits
from klever.oci.reference import Reference
from klever.oci.registries import Registries

__all__ = ["Job", "Step", "StepError", "patiently", "step"]

T = TypeVar("T")

PATIENCE: Final = 120.0
"""How long the platform's registry may be down, in seconds: the platform can restart while tasks run."""
FOREIGN_PATIENCE: Final = 10.0
"""How long another registry may be down, in seconds: other tasks wait for the slot."""


class Step(Enum):
    """The steps, with the exit codes of the original's tasks (kleveross/klever-modeljob-operator) and reasons."""

    LOGIN = (10000, "LoginFailed")
    PULL = (10001, "PullFailed")
    EXPORT = (10002, "ExportFailed")
    RUN = (10003, "TaskFailed")
    SAVE = (10004, "SaveFailed")
    PUSH = (10005, "PushFailed")

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def reason(self) -> str:
        return self.value[1]


class StepError(KleverError):
    """A step failed. `result` is the result of the steps before it."""

    def __init__(self, step_: Step, message: str) -> None:
        super().__init__(message)
        self.step = step_
        self.result: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Job:
    """`target` is the reference to write: the desired tag, or the model itself. `say` prints a line of progress.

    With `inspect_only` nothing is written. A conversion goes from `format` to `into`. With `allow_code` the model may
    contain code. `options` are those of the converter.
    """

    model: Reference
    target: Reference
    format: str
    registries: Registries
    work: Path
    say: Callable[[str], None]
    limits: Limits = DEFAULTS
    inspect_only: bool = False
    into: str = ""
    allow_code: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def patiently(registry: Reference, call: Callable[[], T], say: Callable[[str], None]) -> T:
    """Call the registry of a reference, and retry while it is down."""
    backoff, deadline = Backoff(maximum=5.0), time.monotonic() + (FOREIGN_PATIENCE if registry.host else PATIENCE)
    while True:
        try:
            return call()
        except UnavailableError as error:
            delay = backoff.next(error)
            if time.monotonic() + delay > deadline:
                raise
            say(f"{error.message}; next attempt in {delay:.1f} s")
            time.sleep(delay)


@contextmanager
def step(which: Step) -> Iterator[None]:
    """Turn a Klever error inside into a `StepError` of this step."""
    try:
        yield
    except KleverError as error:
        raise StepError(which, error.message) from error
