"""`make demo`, as it is run without a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Objects

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Begins the demo, with its files in a directory of the test's own."""
    started = []

    def begin(*flags: str, **environ: str) -> subprocess.Popen[str]:
        demo = subprocess.Popen(
            [sys.executable, str(DEMO), *flags],
            env={**os.environ, "TMPDIR": str(tmp_path), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(demo)
        return demo

    yield begin
    for demo in started:
        demo.kill()
        demo.communicate()


def left_behind(directory: Path) -> list[str]:
    """What there is of a demo: its files, and processes that were told of them."""
    found = [path.name for path in directory.glob("klever-demo-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(directory).encode() in command:
            found.append(command.decode().replace("\0", " "))
    return found


def test_the_demo_shows_the_whole_main_job(start: Start, tmp_path: Path, objects: Objects) -> None:
    demo = start(*objects.fresh())
    out, err = demo.communicate(timeout=110)
    assert demo.returncode == 0, out + err
    for step in ("ormb push", "started by itself", "pixels float32[-1, 64]", "Ready after", "traffic over", "stopped"):
        assert step in out
    assert left_behind(tmp_path) == []
    assert objects.all() == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "starting klever up"),
        (signal.SIGTERM, "waiting until it is Ready"),
        (signal.SIGINT, "ormb push"),
    ],
)
def test_a_demo_that_is_stopped_stops_everything(
    start: Start, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    demo = start()
    assert demo.stdout is not None
    while moment not in (line := demo.stdout.readline()):
        assert line, "it ended"
    demo.send_signal(number)
    out, err = demo.communicate(timeout=100)
    assert demo.returncode == 128 + number
    assert err.strip() == f"stopped by {number.name}"
    assert out.endswith("stopped\n")
    assert left_behind(tmp_path) == []


def test_a_step_that_fails_is_said(start: Start, tmp_path: Path) -> None:
    demo = start(KLEVER_NAMESPACE="nowhere")
    _, err = demo.communicate(timeout=100)
    assert demo.returncode == 1
    assert err.startswith("the demo failed: klever deploy demo/digits:v1 ")
    assert "klever create project" in err
    assert len(err.splitlines()) == 1
    assert left_behind(tmp_path) == []
