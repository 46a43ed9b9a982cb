"""A tour with grpcurl, which knows nothing of Klever but what reflection tells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until

JOBS, SERVINGS = "klever.v1alpha1.JobService", "klever.v1alpha1.ServingService"


class Client:
    def __init__(self, grpcurl: str, platform: Platform) -> None:
        self._command = [grpcurl, "-plaintext", "-max-time", "30", "-H", f"Authorization: Bearer {platform.token}"]
        self._target = f"127.0.0.1:{platform.port}"

    def run(self, *arguments: str, data: Any = None) -> subprocess.CompletedProcess[str]:
        body = [] if data is None else ["-d", json.dumps(data)]
        command = [*self._command, *body, self._target, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def call(self, method: str, **data: Any) -> Any:
        done = self.run(method, data=data)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def watch(self, method: str, **data: Any) -> subprocess.Popen[str]:
        command = [*self._command, "-d", json.dumps(data), self._target, method]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), objects.fresh())
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


def test_a_tour(grpcurl: str, platform: Platform) -> None:
    client = Client(grpcurl, platform)
    services = client.run("list").stdout.split()
    assert {JOBS, SERVINGS, "klever.v1alpha1.ModelService", "grpc.health.v1.Health"} <= set(services)
    assert "rpc CreateModelJob" in client.run("describe", JOBS).stdout
    assert "rpc SetTraffic" in client.run("describe", f"{SERVINGS}.SetTraffic").stdout

    spec = {"model": "team/adder:v1", "desiredTag": "team/adder:read", "extraction": {"format": "ONNX"}}
    with client.watch(f"{JOBS}/WatchModelJobs", namespace="team", filter="metadata.name = tour") as watch:
        job = {"metadata": {"name": "tour"}, "spec": spec}
        created = client.call(f"{JOBS}/CreateModelJob", namespace="team", modelJob=job)
        assert created["metadata"]["generation"] == "1"
        seen = ""
        assert watch.stdout is not None
        while '"phase": "Succeeded"' not in seen:
            seen += watch.stdout.readline()
        watch.terminate()
    assert '"type": "ADDED"' in seen

    predictors = [
        {"name": "main", "model": "team/adder:v1", "traffic": 100},
        {"name": "canary", "model": "team/adder:read", "traffic": 0},
    ]
    serving = {"metadata": {"name": "tour"}, "spec": {"predictors": predictors}}
    client.call(f"{SERVINGS}/CreateServing", namespace="default", serving=serving)

    def status() -> Any:
        return client.call(f"{SERVINGS}/GetServing", namespace="default", name="tour").get("status", {})

    until(lambda: status().get("phase") == "Ready")
    shares = {"main": 50, "canary": 50}
    client.call(f"{SERVINGS}/SetTraffic", namespace="default", name="tour", traffic=shares)
    until(lambda: status().get("trafficSummary") == "main=50 canary=50")
    assert platform.infer("tour")[0] == 200


def test_a_refusal_names_its_field(grpcurl: str, platform: Platform) -> None:
    predictors = [{"name": "a", "model": "m"}, {"name": "b", "model": "m", "traffic": 120}]
    serving = {"metadata": {"name": "bad"}, "spec": {"predictors": predictors}}
    client = Client(grpcurl, platform)
    done = client.run(f"{SERVINGS}/CreateServing", data={"namespace": "default", "serving": serving})
    assert "InvalidArgument" in done.stderr
    assert "spec.predictors[1].traffic: must be between 0 and 100, not 120" in done.stderr
    assert "google.rpc.BadRequest" in done.stderr
    assert "google.rpc.ErrorInfo" in done.stderr
