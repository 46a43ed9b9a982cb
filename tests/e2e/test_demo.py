"""`make demo`, as it is run without a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Objects
from tests.e2e.platform import at_a_terminal

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
    assert "grpcurl" not in out  # nothing answers there any more
    assert left_behind(tmp_path) == []
    assert objects.all() == []


def test_at_a_terminal_it_stays_up_until_ctrl_c(tmp_path: Path, grpcurl: str) -> None:
    with at_a_terminal([sys.executable, str(DEMO)], {**os.environ, "TMPDIR": str(tmp_path)}) as terminal:
        terminal.read("Ctrl-C stops it.", 110)
        pasted = {line.split()[0]: line.split()[1:] for line in terminal.seen.splitlines() if "curl " in line}
        with urllib.request.urlopen(pasted["curl"][0], timeout=10) as answer:
            assert json.load(answer)["inputs"][0]["name"] == "pixels"
        listed = subprocess.run([grpcurl, *pasted["grpcurl"]], capture_output=True, text=True, timeout=30, check=True)
        assert "klever.v1alpha1.ServingService" in listed.stdout.splitlines()
        terminal.process.send_signal(signal.SIGINT)
        terminal.read("stopped", 100)
        assert terminal.process.wait(timeout=10) == 0
    assert left_behind(tmp_path) == []


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
