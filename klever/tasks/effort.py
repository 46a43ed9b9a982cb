"""A limit on the processor time that a task spends on one model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from klever.errors import DeadlineError
from klever.limits import Limits

__all__ = ["bounded"]

_AGAIN_S: Final = 1.0
"""Seconds after which the error is raised again, if a reader handled it."""


@contextmanager
def bounded(limits: Limits, what: str) -> Iterator[None]:
    """Raise `DeadlineError` inside, as soon as the process has used the processor for `reading_seconds`.

    Other jobs wait while a task runs. `what` is what takes so long. For the main thread only.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise DeadlineError(
            f"{what} takes more than {limits.reading_seconds} seconds of a processor, the limit reading_seconds: "
            "start the platform with a larger --limit reading_seconds=N",
            reason="LIMIT_EXCEEDED",
            metadata={"limit": "reading_seconds"},
        )

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, limits.reading_seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
