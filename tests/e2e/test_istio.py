"""`klever controllers --pods` with Istio: requests to pods pass a real Envoy that istiod configures."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import aiohttp
import grpc
import pytest
import yaml
from tritonclient.grpc import service_pb2_grpc

from hack.kubernetes.cluster import Cluster
from tests.e2e.controllers import LEASE_S, Controllers
from tests.e2e.inference import request, under_load
from tests.e2e.platform import ADDER, Platform, until
from tests.e2e.rights import bound, granted, used

PORT = 8080
USER = "istio"
REQUESTS = 6000
CANARY = 5
INFER = "/seldon/default/adder/v2/models/adder/infer"
SERVING = {
    "apiVersion": "kleveross.io/v1alpha1",
    "kind": "Serving",
    "metadata": {"name": "adder", "namespace": "default"},
    "spec": {
        "predictors": [
            {"name": "main", "model": "team/adder:v1", "traffic": 100 - CANARY},
            {"name": "canary", "model": "team/adder:v1", "traffic": CANARY, "env": [{"name": "A", "value": "b"}]},
        ]
    },
}
OURS = "virtualservices,destinationrules,serviceentries,deployments,pods,services,secrets"
GUARD = "envoyfilter/klever-guard"


@pytest.fixture(scope="module")
def source(istio: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that is only the registry here. Pods reach it at this machine's address on their bridge."""
    platform = Platform(tmp_path_factory.mktemp("source"), ("--host", "0.0.0.0", "--plaintext"))
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    yield platform
    platform.clean_up()


@pytest.fixture(scope="module")
def users(
    istio: Cluster, images: Mapping[str, Any], source: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """Clients of Istio's gateway."""
    directory = tmp_path_factory.mktemp("istio")
    istio.kubectl("delete", "gateways.networking.istio.io,envoyfilters", "-n", "istio-system", "--all")
    url = f"http://{istio.gateway}:{PORT}"
    settings = {**images, "istio": {"url": url, "port": PORT, "drainSeconds": 2}}
    (directory / "pods.yaml").write_text(yaml.safe_dump(settings))
    workplace = Platform(directory / "workplace")
    workplace.data.mkdir(parents=True)
    workplace.url = url
    flags = ("--pods", str(directory / "pods.yaml"), "--plaintext")
    kubeconfig = bound(istio, USER, "klever-controllers", "klever-pods", "klever-istio", "klever-lease")
    controllers = Controllers(source, workplace, kubeconfig, *flags, host=istio.host)
    until(controllers.terms, LEASE_S)
    yield workplace
    controllers.end()
    workplace.run("klever", "down", "--data", str(workplace.data))


@pytest.fixture(scope="module")
def canary(istio: Cluster, users: Platform) -> Iterator[Platform]:
    """The Serving, ready."""
    istio.kubectl("create", "-f", "-", stdin=json.dumps(SERVING))
    istio.kubectl("wait", "--for=condition=Ready", "--timeout=240s", "serving/adder")
    yield users
    istio.kubectl("delete", "serving", "adder", "--timeout=120s", "--ignore-not-found")


def test_inference_over_http_and_grpc(istio: Cluster, canary: Platform) -> None:
    assert get(istio, "serving/adder")["status"]["url"] == f"{canary.url}/seldon/default/adder"
    status, answer = canary.infer("adder")
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [3.0] * 5)
    with grpc.insecure_channel(canary.url.removeprefix("http://")) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = (("seldon", "adder"), ("namespace", "default"))
        answered = stub.ModelInfer(request(), metadata=metadata, timeout=10)
    assert answered.model_name == "adder"
    assert canary.http("POST", "/seldon/default/adder/v2/repository/index")[0] == 404


def test_a_request_that_would_end_triton_is_refused(istio: Cluster, canary: Platform) -> None:
    inputs = [{**ADDER["inputs"][0], "shape": [1, 1000000000]}, ADDER["inputs"][1]]
    status, answer = canary.http("POST", INFER, json.dumps({"inputs": inputs}), **{"Content-Type": "application/json"})
    assert (status, "invalid shape" in answer) == (400, True)
    assert canary.infer("adder")[0] == 200
    istio.kubectl("delete", GUARD, "-n", "istio-system")
    until(lambda: istio.kubectl("get", GUARD, "-n", "istio-system", check=False).returncode == 0)


def test_the_canary_gets_its_share(istio: Cluster, canary: Platform) -> None:
    before = counts(istio)
    asyncio.run(ask(canary.url + INFER))
    after = counts(istio)
    answered = {name: after[name] - before[name] for name in after}
    assert sum(answered.values()) >= REQUESTS  # probes are inferences, too
    share = 100 * min(answered.values()) / sum(answered.values())
    assert abs(share - CANARY) < 1  # it is further away once in 2,500 times


def test_a_change_of_shares_under_load_fails_no_request(istio: Cluster, canary: Platform) -> None:
    with under_load(canary, "adder") as answered:
        for main in (50, 0, 100, 95):
            change(istio, main={"traffic": main}, canary={"traffic": 100 - main})
            until(partial(has_shares, istio, f"main={main} canary={100 - main}"), 60)
            until(partial(is_longer, answered, len(answered) + 20))


def test_a_route_that_was_deleted_comes_back_and_a_serving_leaves_nothing(istio: Cluster, canary: Platform) -> None:
    istio.kubectl("delete", "virtualservice", "adder")
    until(lambda: istio.kubectl("get", "virtualservice", "adder", check=False).returncode == 0)
    until(lambda: canary.infer("adder")[0] == 200)
    istio.kubectl("delete", "serving", "adder", "--timeout=120s")
    until(lambda: not get(istio, OURS, "-l", "app.kubernetes.io/managed-by=klever,!kleveross.io/task")["items"], 120)
    assert canary.infer("adder")[0] == 404


def test_every_right_is_used(istio: Cluster, canary: Platform) -> None:
    """Server-side apply needs the right to create, and is a patch to the audit. No test has endpoints of no Service."""
    left = granted("istio.yaml") - used(istio, USER)
    assert {right for right in left if right[1] != "create"} == {
        ("serviceentries", "patch"),
        ("serviceentries", "delete"),
    }


def get(cluster: Cluster, *arguments: str) -> Any:
    return json.loads(cluster.kubectl("get", *arguments, "-o", "json").stdout)


def has_shares(cluster: Cluster, summary: str) -> bool:
    return bool(get(cluster, "serving/adder")["status"].get("trafficSummary") == summary)


def is_longer(answered: list[float], count: int) -> bool:
    return len(answered) > count


def change(cluster: Cluster, **predictors: Mapping[str, Any]) -> None:
    """Change fields of predictors."""
    named = get(cluster, "serving/adder")["spec"]["predictors"]
    changed = [{**one, **predictors.get(one["name"], {})} for one in named]
    patch = json.dumps({"spec": {"predictors": changed}})
    cluster.kubectl("patch", "serving/adder", "--type=merge", "-p", patch)


def counts(cluster: Cluster) -> Mapping[str, int]:
    """Return how many inferences each workload has done, as its Triton counts them."""
    services = get(cluster, "services", "-l", "kleveross.io/serving=adder")["items"]
    return {one["metadata"]["name"]: _count(one["spec"]["clusterIP"]) for one in services}


def _count(address: str) -> int:
    with urllib.request.urlopen(f"http://{address}:8000/v2/models/adder/stats", timeout=10) as response:
        return int(json.load(response)["model_stats"][0]["inference_stats"]["success"]["count"])


async def ask(url: str) -> None:
    """Send the requests over 16 connections; each must succeed."""
    left = iter(range(REQUESTS))
    async with aiohttp.ClientSession() as session:

        async def client() -> None:
            for _ in left:
                async with session.post(url, json=ADDER) as response:
                    assert response.status == 200, await response.text()

        await asyncio.gather(*(client() for _ in range(16)))
