"""Parts that die or hang, and what the user is told meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, freeze, replicas, until


@pytest.fixture
def platform(tmp_path: Path, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path, objects.fresh())
    platform.start()
    platform.push("team/adder:v1")
    yield platform
    platform.clean_up()


def processes(platform: Platform, program: str) -> list[int]:
    """The pids of a program that runs for a platform."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[0].endswith(program.encode()) and str(platform.data).encode() in b"".join(command):
            found.append(int(process.name))
    return found


def test_a_kill_in_the_middle_of_a_deployment(platform: Platform) -> None:
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder")
    platform.end(signal.SIGKILL)
    platform.start()
    platform.run("klever", "wait", "serving", "adder", "--for=condition=Ready", "--timeout", "60s")
    assert platform.infer("adder")[0] == 200
    assert len(replicas(platform)) == 1


def test_a_gateway_that_dies_comes_back_as_it_was(platform: Platform) -> None:
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    (envoy,) = processes(platform, "/envoy")
    os.kill(envoy, signal.SIGKILL)

    until(lambda: _answers(platform), 10.0)
    assert processes(platform, "/envoy") != [envoy]
    platform.push("team/adder:v2")
    platform.run("klever", "deploy", "team/adder:v2", "--name", "adder", "--wait")


def test_a_gateway_that_hangs_is_started_again(platform: Platform) -> None:
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    (envoy,) = processes(platform, "/envoy")
    freeze(envoy)
    until(lambda: processes(platform, "/envoy") not in ([], [envoy]), 60.0)
    until(lambda: _answers(platform), 10.0)
    assert "the gateway (Envoy) does not answer: restarting it" in platform.log.read_text()


def test_a_runtime_that_hangs_is_started_again_and_said(platform: Platform) -> None:
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    (triton,) = replicas(platform)
    freeze(int(triton))
    said = until(lambda: _not_ready(platform), 60.0)
    assert "main" in said
    until(lambda: platform.infer("adder")[0] == 200, 60.0)
    assert replicas(platform) != [triton]
    events = platform.run("klever", "events", "serving", "adder").stdout
    assert "Ready" in events
    assert "health checks in a row failed" in next(line for line in events.splitlines() if "BackOff" in line)


def test_a_runtime_that_dies_after_a_restart_of_the_platform(platform: Platform) -> None:
    """The platform adopted it: it is looked after as if it had started it."""
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    platform.end(signal.SIGKILL)
    platform.start()
    (triton,) = replicas(platform)
    os.kill(int(triton), signal.SIGKILL)
    until(lambda: replicas(platform) not in ([], [triton]), 60.0)
    until(lambda: platform.infer("adder")[0] == 200, 60.0)


def _answers(platform: Platform) -> bool:
    try:
        return platform.infer("adder")[0] == 200
    except OSError:
        return False


def _not_ready(platform: Platform) -> str:
    conditions = platform.get("servings", "adder")["status"]["conditions"]
    ready = next(c for c in conditions if c["type"] == "Ready")
    return "" if ready["status"] == "True" else json.dumps(ready)
