"""From a model file to inference traffic, on real Envoy and real Triton, through faults and bad input."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Objects
from tests.e2e.inference import under_load
from tests.e2e.platform import Platform, freeze, replicas, tasks, until

SHARES = """
apiVersion: kleveross.io/v1alpha1
kind: Serving
metadata: {name: adder}
spec:
  predictors:
    - {name: main, model: 'team/adder:v1', traffic: 80}
    - {name: canary, model: 'team/adder:v2', traffic: 20}
    - {name: beta, model: 'team/adder:v2', matches: [{headers: [{name: x-user, exact: me}]}]}
"""


@pytest.fixture
def platform(tmp_path: Path, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path, objects.fresh())
    platform.start()
    yield platform
    platform.clean_up()


def fetch_sums(platform: Platform, name: str, **headers: str) -> list[float]:
    status, body = platform.infer(name, **headers)
    assert status == 200, body
    result: list[float] = json.loads(body)["outputs"][0]["data"]
    return result


def test_from_a_model_file_to_traffic_and_back(platform: Platform) -> None:
    platform.push("team/adder:v1")
    job = until(lambda: platform.get("modeljobs", "-n", "team")["items"])[0]["metadata"]["name"]
    platform.run("klever", "wait", "modeljob", job, "-n", "team", "--for=condition=Complete")
    version = platform.get("versions", "team/adder:v1")
    assert [t["name"] for t in version["signature"]["inputs"]] == ["X", "Y"]
    ready = platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait").stdout
    assert f"{platform.url}/seldon/default/adder" in ready
    assert fetch_sums(platform, "adder") == [3.0] * 5
    assert "outputs" in platform.run("klever", "predict", "adder", "--example").stdout
    assert "Ready" in platform.run("klever", "events", "serving", "adder").stdout
    assert len(platform.get("modeljobs", "-n", "team")["items"]) == 1  # an extraction triggers no extraction
    platform.run("klever", "delete", "serving", "adder")
    platform.run("klever", "wait", "serving", "adder", "--for=delete")
    assert platform.infer("adder")[0] == 404
    assert platform.end() == ""
    assert "nothing was running" in platform.run("klever", "down", "--data", str(platform.data)).stdout


@pytest.mark.parametrize("flags", [(), ("--keep-serving",)])
def test_down_stops_a_platform_that_runs(platform: Platform, flags: tuple[str, ...]) -> None:
    platform.flags += flags
    platform.end()
    platform.start()
    platform.push("team/adder:v1")
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    assert replicas(platform)
    assert platform.process is not None
    stopped = platform.run("klever", "down", "--data", str(platform.data)).stdout
    assert f"the platform has stopped (process {platform.process.pid})" in stopped
    platform.process.communicate(timeout=5)
    assert platform.process.returncode == 0
    assert replicas(platform) == []
    assert platform.run("klever", "down", "--data", str(platform.data)).stdout == "nothing was running\n"
    platform.start()
    until(lambda: platform.get("servings", "adder")["status"]["phase"] == "Ready")


def test_deploy_in_the_moment_after_the_push_waits_for_the_signature(platform: Platform) -> None:
    platform.push("team/adder:v1")
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    assert fetch_sums(platform, "adder") == [3.0] * 5


def test_shares_header_matches_and_undo(platform: Platform) -> None:
    platform.push("team/adder:v1")
    platform.push("team/adder:v2")
    platform.run("klever", "apply", "-f", "-", stdin=SHARES)
    platform.run("klever", "wait", "serving", "adder", "--for=condition=Ready")
    assert platform.get("servings", "adder")["status"]["trafficSummary"] == "main=80 canary=20"
    assert fetch_sums(platform, "adder", **{"x-user": "me"}) == [3.0] * 5
    platform.run("klever", "traffic", "adder", "main=0", "canary=100")
    until(lambda: platform.get("servings", "adder")["status"]["trafficSummary"] == "main=0 canary=100")
    platform.run("klever", "traffic", "adder", "--undo")
    until(lambda: platform.get("servings", "adder")["status"]["trafficSummary"] == "main=80 canary=20")


def test_predictors_that_swap_models_or_change_names_cost_no_inference(platform: Platform) -> None:
    platform.push("team/adder:v1")
    platform.push("team/adder:v2")

    def apply(manifest: str) -> None:
        platform.run("klever", "apply", "-f", "-", stdin=manifest)
        platform.run("klever", "wait", "serving", "adder", "--for=condition=Ready")

    apply(SHARES)
    with under_load(platform, "adder"):
        apply(SHARES.replace(":v1", ":vX").replace(":v2", ":v1").replace(":vX", ":v2"))
        apply(SHARES.replace("name: main", "name: stable").replace("name: canary", "name: next"))
    assert platform.get("servings", "adder")["status"]["trafficSummary"] == "stable=80 next=20"
    until(lambda: len(replicas(platform)) == 3)


def test_a_killed_control_plane_costs_no_inference(platform: Platform) -> None:
    platform.push("team/adder:v1")
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    with under_load(platform, "adder") as answered:
        platform.end(signal.SIGKILL)
        count = len(answered)
        until(lambda: len(answered) > count + 20)
        platform.start()
        until(lambda: platform.get("servings", "adder")["status"]["phase"] == "Ready")
        platform.push("team/adder:v2")
        platform.run("klever", "deploy", "team/adder:v2", "--name", "adder", "--wait")
    assert platform.get("servings", "adder")["status"]["trafficSummary"] == "main=100"


def test_a_job_survives_a_kill(platform: Platform) -> None:
    """Its task stands still meanwhile, so that it is in the middle of it; and is taken up as it is."""
    platform.push("team/adder:v1")
    (task,) = until(lambda: tasks(platform))
    freeze(int(task))
    platform.end(signal.SIGKILL)
    platform.start()
    assert tasks(platform) == [task]
    os.kill(int(task), signal.SIGCONT)
    job = until(lambda: platform.get("modeljobs", "-n", "team")["items"])[0]["metadata"]["name"]
    platform.run("klever", "wait", "modeljob", job, "-n", "team", "--for=condition=Complete")
