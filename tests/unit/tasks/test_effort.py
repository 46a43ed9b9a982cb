from __future__ import annotations

import signal

import pytest

from klever.errors import DeadlineError
from klever.limits import Limits
from klever.tasks import effort
from klever.tasks.effort import bounded

LIMITS = Limits(reading_seconds=1)
WHAT = "the signature of team/m:v1"


def test_a_model_that_takes_too_long_is_refused_even_by_a_reader_that_handles_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two models of 1 MB, each a number of base 60, stopped all jobs of a platform for minutes."""
    monkeypatch.setattr(effort, "_AGAIN_S", 0.01)
    handled = list[DeadlineError]()

    def read() -> None:
        while len(handled) < 2:
            try:
                while True:
                    pass
            except DeadlineError as error:
                handled.append(error)
        raise handled[-1]

    with pytest.raises(DeadlineError, match="takes more than 1 seconds"), bounded(LIMITS, WHAT):
        read()


def test_nothing_of_the_limit_remains_afterwards() -> None:
    with bounded(LIMITS, "it"):
        pass
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGPROF) is signal.SIG_DFL
