"""Who holds a data directory is asked to stop, and nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from klever.cmd.data import DataDirectory
from klever.cmd.holders import end_holders
from klever.errors import DeadlineError, FailedPreconditionError

HOLDER = """
import signal, sys
from pathlib import Path
from klever.cmd.data import DataDirectory
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with DataDirectory(Path(sys.argv[1])).lock(shared=sys.argv[2] == "shared"):
    print("holds", flush=True)
    signal.pause()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


@pytest.fixture
def start(data: DataDirectory) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(how: str = "alone", ears: str = "open") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(data.root), how, ears]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "holds\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_all_who_share_it_are_asked(data: DataDirectory, start: Start) -> None:
    first, second = start("shared"), start("shared")
    with pytest.raises(FailedPreconditionError, match="`klever down`"), data.lock():
        pass
    assert set(end_holders(data.holders, 30)) == {first.pid, second.pid}
    with data.lock():
        assert [path.name for path in data.holders.iterdir()] == [str(os.getpid())]
    assert list(data.holders.iterdir()) == []
    assert end_holders(data.holders, 30) == ()


def test_a_number_that_is_another_process_s_now_is_let_alone(data: DataDirectory, start: Start) -> None:
    holder = start()
    holder.kill()
    holder.wait()
    (data.holders / str(holder.pid)).rename(data.holders / str(os.getpid()))
    assert end_holders(data.holders, 30) == ()
    with data.lock():  # as the one killed holds it no more
        pass


def test_one_that_does_not_stop_is_said(data: DataDirectory, start: Start) -> None:
    holder = start("alone", "deaf")
    with pytest.raises(DeadlineError, match=f"`kill -9 {holder.pid}`, then run `klever down` again"):
        end_holders(data.holders, 0.1)
    assert holder.poll() is None
