"""What Prometheus scrapes, and what the gateway does not show."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, freeze, replicas, until


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), objects.fresh())
    platform.start()
    platform.push("team/adder:v1")
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    for _ in range(5):
        assert platform.infer("adder")[0] == 200
    yield platform
    platform.clean_up()


def scrape(platform: Platform) -> dict[str, list[tuple[dict[str, str], float]]]:
    with urllib.request.urlopen(platform.metrics, timeout=10) as response:
        text = response.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found, f"{family.name} stands there twice"
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def value(samples: list[tuple[dict[str, str], float]], **labels: str) -> float:
    return sum(number for own, number in samples if labels.items() <= own.items())


def test_everything_is_there(platform: Platform) -> None:
    found = scrape(platform)
    serving = {"namespace": "default", "serving": "adder", "predictor": "main"}
    assert value(found["envoy_cluster_upstream_rq_total"], **serving) >= 5
    assert value(found["nv_inference_request_success_total"], **serving, model="adder") >= 5
    assert value(found["klever_servings"], phase="Ready") == 1
    assert value(found["klever_modeljobs"], phase="Succeeded") >= 1
    assert value(found["klever_rpc_total"], method="CreateServing", code="OK") == 1
    assert value(found["klever_reconcile_total"], controller="serving", result="success") > 0
    assert value(found["klever_registry_transferred_bytes_total"], direction="in") > 0
    for name in ("klever_rpc_seconds_count", "klever_workqueue_depth", "klever_workqueue_retries_total"):
        assert name in found


def test_the_gateway_does_not_show_them(platform: Platform) -> None:
    for path in ("/metrics", "/stats", "/stats/prometheus", "/config_dump"):
        assert platform.http("GET", path)[0] == 404


def test_a_dead_replica_is_left_out(platform: Platform) -> None:
    triton = int(replicas(platform)[0])
    freeze(triton)
    found = scrape(platform)
    assert "nv_inference_request_success_total" not in found
    assert value(found["klever_servings"]) == 1
    os.kill(triton, signal.SIGKILL)
    until(lambda: "nv_inference_request_success_total" in scrape(platform))
