"""The one port: inference by gRPC, streams, and what is not published."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.e2e.conftest import Objects
from tests.e2e.inference import infer, served
from tests.e2e.platform import Platform

SERVINGS = "/api/v1alpha1/namespaces/default/servings"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), objects.fresh())
    platform.start()
    served(platform)
    yield platform
    platform.clean_up()


def test_inference_by_grpc(platform: Platform) -> None:
    answer = infer(platform, ("seldon", "adder"), ("namespace", "default"))
    assert answer.outputs[0].name == "Z"
    assert answer.raw_output_contents[0] == b"\x00\x00\x40\x40" * 5
    with pytest.raises(grpc.RpcError) as caught:
        infer(platform, ("seldon", "nobody"), ("namespace", "default"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_clients_read_what_is_reachable_of_a_server_and_how_its_model_is_configured(platform: Platform) -> None:
    extensions = {
        "sequence",
        "schedule_policy",
        "model_configuration",
        "binary_tensor_data",
        "parameters",
        "statistics",
    }
    status, body = platform.http("GET", "/seldon/default/adder/v2")
    assert (status, set(json.loads(body)["extensions"])) == (200, extensions)
    for path, field in (("config", "instance_group"), ("stats", "model_stats")):
        status, body = platform.http("GET", f"/seldon/default/adder/v2/models/adder/{path}")
        assert (status, field in json.loads(body)) == (200, True)


def test_a_predictor_tunes_its_model_server(platform: Platform) -> None:
    """Triton gets the settings, and answers requests together and alone."""
    batching = {"maxSize": 32, "maxQueueDelayMicroseconds": 1000}
    predictor = {"name": "main", "model": "team/adder:v1", "batching": batching, "instances": 2}
    serving = {"apiVersion": "kleveross.io/v1alpha1", "kind": "Serving", "metadata": {"name": "tuned"}}
    document = serving | {"spec": {"maxConcurrency": 64, "timeoutSeconds": 30, "predictors": [predictor]}}
    platform.run("klever", "apply", "-f", "-", stdin=json.dumps(document))
    platform.run("klever", "wait", "serving", "tuned", "--for=condition=Ready", "--timeout", "80s")
    config = json.loads(platform.http("GET", "/seldon/default/tuned/v2/models/tuned/config")[1])
    assert config["instance_group"][0]["count"] == 2
    assert config["parameters"]["batch_rows"] == {"string_value": "32"}
    with ThreadPoolExecutor(8) as pool:
        assert {status for status, _ in pool.map(lambda _: platform.infer("tuned"), range(32))} == {200}
    platform.run("klever", "delete", "serving", "tuned")


@pytest.mark.parametrize("method", ["RepositoryModelUnload", "SystemSharedMemoryRegister", "TraceSetting"])
def test_a_runtime_is_not_controlled_by_grpc(platform: Platform, method: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{platform.port}") as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", None, None)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=(("seldon", "adder"), ("namespace", "default")), timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/adder/unload",
        "/v2/systemsharedmemory/status",
        "/v2/models/adder/load",
        "/v2/models/adder/../../repository/index",
        "/v2/models/adder%2f..%2f..%2frepository/index",
        "/metrics",
    ],
)
def test_a_runtime_is_not_controlled_by_http(platform: Platform, path: str) -> None:
    assert platform.http("POST", f"/seldon/default/adder{path}", "{}")[0] in {400, 404}


def test_a_watch_is_a_stream_of_lines(platform: Platform) -> None:
    url = f"{platform.url}/api/v1alpha1/namespaces/default/servings:watch"
    with urllib.request.urlopen(url, timeout=10) as response:
        event = json.loads(response.readline())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "adder")


def test_grpc_web(platform: Platform) -> None:
    """An empty message, framed: the answer is a message and a frame of trailers."""
    headers = {"Content-Type": "application/grpc-web+proto"}
    call = urllib.request.Request(
        f"{platform.url}/klever.v1alpha1.ModelService/ListProjects", b"\0\0\0\0\0", headers, method="POST"
    )
    with urllib.request.urlopen(call, timeout=10) as response:
        body = response.read()
    assert b"team" in body
    assert b"grpc-status:0" in body


def test_large_requests_pass(platform: Platform) -> None:
    """A body of 32 MiB reaches the runtime, which refuses what is in it."""
    status, body = platform.http(
        "POST",
        "/seldon/default/adder/v2/models/adder/infer",
        json.dumps({"inputs": [], "parameters": {"padding": "x" * (32 << 20)}}),
        **{"Content-Type": "application/json"},
    )
    assert status == 400
    assert "inputs" in body


@pytest.mark.parametrize("path", ["/api/v1alpha1/nope", "/api/v1alpha1/servings/x", "/klever.v1alpha1.JobService/Nope"])
def test_a_path_that_is_no_method_is_not_found(platform: Platform, path: str) -> None:
    assert platform.http("GET", path)[0] == 404


def test_a_parameter_that_is_none_is_named(platform: Platform) -> None:
    status, body = platform.http("GET", f"{SERVINGS}?limit=1")
    assert (status, "limit" in body) == (400, True)


def test_a_model_whose_name_has_a_slash(platform: Platform) -> None:
    platform.push("team/deep/adder:v1")
    status, body = platform.http("GET", "/api/v1alpha1/projects/team/models/deep%252Fadder/versions/v1")
    assert status == 200, body
    assert json.loads(body)["model"] == "deep/adder"


def test_a_log_of_less_than_nothing_is_refused(platform: Platform) -> None:
    status, body = platform.http("GET", f"{SERVINGS}/adder/logs?tail=-1")
    assert (status, json.loads(body)["message"]) == (400, "tail: must be 0 or more, not -1")


def test_a_body_says_that_it_is_json(platform: Platform) -> None:
    """A page of another site can send one without a type, or as text, unasked."""
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as client:
        head = f"POST {SERVINGS} HTTP/1.1\r\nHost: 127.0.0.1:{platform.port}\r\nContent-Length: 2\r\n\r\n{{}}"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 415")


def test_render_shows_the_generated_files(platform: Platform) -> None:
    """Two shares and a header match, of a Serving that is not there, and still is not."""
    spec = {
        "predictors": [
            {"name": "main", "model": "team/adder:v1", "traffic": 80},
            {"name": "canary", "model": "team/adder:v1", "traffic": 20, "env": [{"name": "A", "value": "b"}]},
            {"name": "beta", "model": "team/adder:v1", "matches": [{"headers": [{"name": "x-user", "prefix": "b"}]}]},
        ]
    }
    rendered = render(platform, {"metadata": {"name": "planned"}, "spec": spec})
    assert 'name: "planned"' in rendered["main/models/planned/config.pbtxt"]
    routes = json.loads(rendered["gateway/routes.json"])
    weights = [[c["weight"] for c in route["route"]["weighted_clusters"]["clusters"]] for route in routes]
    assert [one for one in weights if len(one) > 1] == [[80, 20]] * (len(weights) // 2)
    assert routes[0]["match"]["headers"] == [{"name": "x-user", "string_match": {"prefix": "b"}}]
    assert len(json.loads(rendered["gateway/clusters.json"])) == 6
    assert platform.run("klever", "describe", "serving", "planned", check=False).returncode != 0


def render(platform: Platform, serving: dict[str, Any]) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {platform.token}"}
    path = "/api/v1alpha1/namespaces/default/servings:render"
    status, answer = platform.http("POST", path, json.dumps(serving), **headers)
    assert status == 200, answer
    return {file["path"]: file["content"] for file in json.loads(answer)["files"]}
