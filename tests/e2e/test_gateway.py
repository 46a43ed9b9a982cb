"""The one port: inference by gRPC, streams, and what is needed where others can reach it."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.e2e.platform import Platform, until

READY = "/seldon/default/adder/v2/models/adder/ready"
SERVINGS = "/api/v1alpha1/namespaces/default/servings"


def served(platform: Platform) -> None:
    platform.push("team/adder:v1")
    until(lambda: "float32" in platform.run("klever", "describe", "version", "team/adder:v1").stdout)
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.start()
    served(platform)
    yield platform
    platform.clean_up()


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One that others can reach."""
    platform = Platform(tmp_path_factory.mktemp("public"), ("--host", "0.0.0.0"))
    platform.start()
    served(platform)
    yield platform
    platform.clean_up()


def request() -> Any:
    def tensor(name: str, value: float) -> Any:
        contents = service_pb2.InferTensorContents(fp32_contents=[value] * 5)
        return service_pb2.ModelInferRequest.InferInputTensor(
            name=name, datatype="FP32", shape=[1, 5], contents=contents
        )

    tensors = [tensor("X", 1.0), tensor("Y", 2.0)]
    return service_pb2.ModelInferRequest(model_name="adder", inputs=tensors)


def infer(platform: Platform, *metadata: tuple[str, str]) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{platform.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return stub.ModelInfer(request(), metadata=metadata, timeout=10)


def test_inference_by_grpc(platform: Platform) -> None:
    answer = infer(platform, ("seldon", "adder"), ("namespace", "default"))
    assert answer.outputs[0].name == "Z"
    assert answer.raw_output_contents[0] == b"\x00\x00\x40\x40" * 5
    with pytest.raises(grpc.RpcError) as caught:
        infer(platform, ("seldon", "nobody"), ("namespace", "default"))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED  # 404


@pytest.mark.parametrize("method", ["RepositoryModelUnload", "SystemSharedMemoryRegister", "TraceSetting"])
def test_a_runtime_is_not_controlled_by_grpc(platform: Platform, method: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{platform.port}") as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", metadata=(("seldon", "adder"), ("namespace", "default")), timeout=10)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/adder/unload",
        "/v2/systemsharedmemory/status",
        "/v2/models/adder/stats",
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


def test_where_others_reach_it_everything_needs_the_token(public: Platform) -> None:
    bearer = {"Authorization": f"Bearer {public.token}"}
    wrong = {"Authorization": "Bearer guess"}
    for path in (READY, SERVINGS, "/v2/team/adder/tags/list"):
        assert public.http("GET", path)[0] == 401, path
        assert public.http("GET", path, **wrong)[0] == 401, path
        assert public.http("GET", path, **bearer)[0] == 200, path
    with pytest.raises(grpc.RpcError) as caught:
        infer(public, ("seldon", "adder"), ("namespace", "default"))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    named = (("seldon", "adder"), ("namespace", "default"), ("authorization", f"Bearer {public.token}"))
    assert infer(public, *named).model_name == "adder"


def test_a_body_says_that_it_is_json(platform: Platform) -> None:
    """A page of another site can send one without a type, or as text, unasked."""
    with socket.create_connection(("127.0.0.1", platform.port), timeout=10) as client:
        head = f"POST {SERVINGS} HTTP/1.1\r\nHost: 127.0.0.1:{platform.port}\r\nContent-Length: 2\r\n\r\n{{}}"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 415")


def test_a_name_that_is_not_its_own_is_refused(public: Platform) -> None:
    bearer = {"Authorization": f"Bearer {public.token}"}
    assert public.http("GET", SERVINGS, Host="evil.example", **bearer)[0] == 404
    assert public.http("GET", SERVINGS, Origin="http://evil.example", **bearer)[0] == 403


def test_what_would_be_generated(platform: Platform) -> None:
    """Two shares and a header match, of a Serving that is not there, and still is not."""
    spec = {
        "predictors": [
            {"name": "main", "model": "team/adder:v1", "traffic": 80},
            {"name": "canary", "model": "team/adder:v1", "traffic": 20, "env": [{"name": "A", "value": "b"}]},
            {"name": "beta", "model": "team/adder:v1", "match": {"headers": [{"name": "x-user", "prefix": "b"}]}},
        ]
    }
    rendered = render(platform, {"metadata": {"name": "planned"}, "spec": spec})
    assert 'name: "planned"' in rendered["main/models/planned/config.pbtxt"]
    routes = json.loads(rendered["gateway/routes.json"])
    weights = [c["weight"] for c in routes[2]["route"]["weighted_clusters"]["clusters"]]
    assert weights == [80, 20]
    assert routes[0]["match"]["headers"] == [{"name": "x-user", "string_match": {"prefix": "b"}}]
    assert len(json.loads(rendered["gateway/clusters.json"])) == 6
    assert platform.run("klever", "describe", "serving", "planned", check=False).returncode != 0


def render(platform: Platform, serving: dict[str, Any]) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {platform.token}"}
    path = "/api/v1alpha1/namespaces/default/servings:render"
    status, answer = platform.http("POST", path, json.dumps(serving), **headers)
    assert status == 200, answer
    return {file["path"]: file["content"] for file in json.loads(answer)["files"]}
