"""Answers of the gateway itself: each has the shape that its client reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import grpc
import pytest

from klever.limits import DEFAULTS
from klever.routers.envoy import Gateway
from tests.unit.routers.test_envoy import DESCRIPTORS
from tests.unit.routers.test_headers import gateway

__all__ = ["gateway"]

pytestmark = pytest.mark.envoy

API = "/api/v1alpha1"
JSON = {"Content-Type": "application/json"}


def _plain(content: bytes) -> bytes:
    return content


@pytest.mark.parametrize(
    "case",
    [
        ("GET", f"{API}/nothing", {}, b"", 404, 5),
        ("GET", "/api/v9/servings", {}, b"", 404, 5),
        ("GET", f"{API}/servings?nothing=1", {}, b"", 400, 3),
        ("POST", f"{API}/projects", JSON, b"{", 400, 3),
        ("POST", f"{API}/projects", {"Content-Type": "text/plain"}, b"{}", 415, 3),
        ("GET", f"{API}/servings", {"Origin": "http://evil.example"}, b"", 403, 7),
        ("GET", f"{API}/servings", {"Host": "evil.example"}, b"", 404, 5),
        ("GET", f"{API}/servings", {}, b"", 503, 14),  # the API is down here
    ],
)
async def test_below_api_every_error_is_a_status(
    gateway: Gateway, case: tuple[str, str, dict[str, str], bytes, int, int]
) -> None:
    method, path, headers, body, status, code = case
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, gateway.url + path, data=body, headers=headers) as response,
    ):
        answer = json.loads(await response.read())
        assert (response.status, response.content_type) == (status, "application/json"), answer
    assert (answer["code"], list(answer)) == (code, ["code", "details", "message"])
    assert answer["message"]
    assert "{" not in answer["message"]


async def test_a_large_body_is_refused_before_it_is_parsed(gateway: Gateway) -> None:
    """57 MB of JSON took 18 s of the gateway's processors."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(0, DEFAULTS.message_bytes + 1, 1 << 20):
            yield b" " * (1 << 20)

    url = f"{gateway.url}{API}/namespaces/team/servings:render"
    async with aiohttp.ClientSession() as http, http.post(url, data=body(), headers=JSON) as response:
        answer = await response.json()
    assert (response.status, answer["code"], "message_bytes" in answer["message"]) == (413, 8, True)


@pytest.mark.parametrize(
    ("metadata", "method", "code"),
    [
        ((), "ModelInfer", grpc.StatusCode.INVALID_ARGUMENT),
        ((("seldon", "digits"),), "ModelInfer", grpc.StatusCode.INVALID_ARGUMENT),
        ((("namespace", "team"),), "ServerLive", grpc.StatusCode.INVALID_ARGUMENT),
        ((("seldon", "digits"), ("namespace", "team")), "ModelInfer", grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_grpc_inference_that_names_no_serving_says_so(
    gateway: Gateway, metadata: tuple[tuple[str, str], ...], method: str, code: grpc.StatusCode
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", _plain, _plain)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=metadata, timeout=10)
    assert caught.value.code() is code
    assert "seldon" in (caught.value.details() or "") or "namespace" in (caught.value.details() or "")


async def test_an_unknown_grpc_method_is_unimplemented(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/some.Service/Method", _plain, _plain)(b"", timeout=10)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, "unknown method")


async def test_other_paths_keep_the_shape_of_inference_clients(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}/seldon/a/b/v2/models/b") as response:
        assert (response.status, list(await response.json())) == (404, ["error"])


async def test_the_descriptor_set_and_the_rest_paths_can_be_downloaded(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{gateway.url}/descriptor.binpb") as response:
            assert (response.status, response.content_type) == (200, "application/x-protobuf")
            assert await response.read() == DESCRIPTORS.read_bytes()
        async with http.get(f"{gateway.url}/openapi.json") as response:
            assert (await response.json())["openapi"] == "3.0.3"
