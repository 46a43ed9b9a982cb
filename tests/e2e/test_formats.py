"""A model of each format goes the whole way: saved, pushed, inspected, deployed, and asked as its framework was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from klever import Client
from tests.e2e.cases import deploy, goes_the_whole_way
from tests.e2e.platform import Platform

CASES = [f"serving/{name}" for name in ("sklearn", "columns", "pickle", "xgboost", "lightgbm", "mlflow", "mllib")]
NETWORKS = [f"networks/{name}" for name in ("savedmodel", "graphdef", "h5", "keras")]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.start()
    platform.run("klever", "allow-code", "default")
    yield platform
    platform.clean_up()


@pytest.mark.parametrize("case", [*CASES, *NETWORKS])
def test_a_model_is_served_with_its_frameworks_answers(platform: Platform, case: str) -> None:
    goes_the_whole_way(platform, case)


@pytest.mark.skipif(shutil.which("java") is None, reason="needs a Java runtime")
def test_pmml_answers_as_openscoring_does(platform: Platform) -> None:
    platform.push("team/cars:v1", "pmml")
    deploy(platform, "team/cars:v1", "cars")
    path = "/seldon/default/cars/openscoring/model/cars"
    request: dict[str, Any] = {"id": "a", "arguments": {"displ": 1.8, "year": 1999, "cyl": 4, "class": "compact"}}
    status, answer = platform.http("POST", path, json.dumps(request), **{"Content-Type": "application/json"})
    assert (status, json.loads(answer)["results"]["drv"]) == (200, "f")
    assert platform.http("DELETE", path)[0] == 403
    example = json.loads(platform.run("klever", "predict", "cars", "--example").stdout)
    assert example["results"].keys() == json.loads(answer)["results"].keys()
    with grpc.insecure_channel(f"127.0.0.1:{platform.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = (("seldon", "cars"), ("namespace", "default"))
        described = stub.ModelMetadata(service_pb2.ModelMetadataRequest(name="cars"), metadata=metadata, timeout=10)
    assert [one.name for one in described.inputs] == list(request["arguments"])
    with Client(f"127.0.0.1:{platform.port}") as client:
        prediction = client.predict("cars", request["arguments"])
    assert (prediction["drv"].tolist(), prediction["probability(f)"].shape) == ([b"f"], (1,))
