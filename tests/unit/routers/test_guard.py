"""The guard on real Envoy, in front of servers that answer with what reached them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from tritonclient.grpc import service_pb2

from klever.limits import Limits
from klever.process import ProcessManager
from klever.routers import Route, RouteKey, Target
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.runtimes import Guard
from klever.runtimes.protocols import OPEN_INFERENCE
from tests.unit.routers.test_envoy import BINARY, DESCRIPTORS, free_port

pytestmark = pytest.mark.envoy
REQUEST_BYTES = 2 << 20
GUARDED = (("seldon", "guarded"), ("namespace", "team"))
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
OVER = (1 << 20) + 1000
"""Elements that no small request may have."""


SERVER = {
    "name": "triton",
    "version": "2.51.0",
    "extensions": ["classification", "sequence", "model_repository(unload_dependents)", "statistics", "logging"],
}


class Rig:
    """A gateway with the Servings `guarded` and `bare`, and an HTTP session."""

    def __init__(self, gateway: Gateway, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.http = http

    async def post(
        self, body: bytes | str, verb: str = "infer", serving: str = "guarded", **headers: str
    ) -> tuple[int, Any]:
        url = f"{self.gateway.url}/seldon/team/{serving}/v2/models/{serving}/{verb}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = BytesIO(body if isinstance(body, bytes) else body.encode())
        async with self.http.post(url, data=data, headers=sent) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def channel(self, *options: tuple[str, int]) -> AsyncIterator[Any]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.gateway.port}", options=options) as channel:
            yield channel

    async def infer(self, message: bytes, **options: Any) -> bytes:
        async with self.channel() as channel:
            answer: bytes = await channel.unary_unary(MODEL_INFER)(message, metadata=GUARDED, timeout=20, **options)
            return answer


async def _http_echo(request: web.Request) -> web.Response:
    if request.path == "/v2":
        return web.json_response(SERVER)
    body = await request.read()
    return web.json_response({"bytes": len(body), "length": request.headers.get("Content-Length")})


class _GrpcEcho(grpc.GenericRpcHandler):  # type: ignore[type-arg] # it takes none at run time
    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _unary(self, message: bytes, _context: Any) -> bytes:
        return message

    async def _stream(self, messages: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message


@asynccontextmanager
async def _upstreams() -> AsyncIterator[tuple[str, str]]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", _http_echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([_GrpcEcho()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
        await runner.cleanup()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    gateway = Gateway(
        host="127.0.0.1",
        port=free_port(),
        api=tmp_path / "api.sock",
        registry=tmp_path / "registry.sock",
        admin=tmp_path / "admin.sock",
        descriptors=DESCRIPTORS,
        access=tmp_path / "access.sock",
        limits=Limits(request_bytes=REQUEST_BYTES),
    )
    router = EnvoyRouter(tmp_path / "envoy", gateway, ProcessManager(tmp_path / "processes"), BINARY, ())
    async with _upstreams() as (http, rpc), aiohttp.ClientSession() as session:
        await router.start()
        for name, guard in (("guarded", Guard.TRITON), ("bare", Guard.NONE)):
            target = Target("main", "r", OPEN_INFERENCE, 100, (http,), (rpc,), guard=guard)
            await router.publish(Route(RouteKey("team", name), (target,)))
        yield Rig(gateway, session)
        await router.stop()


def infer_json(shape: Any, data: Any = (1,), **fields: Any) -> str:
    return json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": shape, "data": data, **fields}]})


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


GOOD_JSON = {
    "plain": infer_json([1, 3], [1, 2, 3]),
    "empty": "",
    "spaces": '{ "inputs" : [ { "name" : "X" , "shape" :\n[ 2 ,\t2 ] , "data" : [ 1 , 2 , 3 , 4 ] } ] }',
    "open and empty dimensions": infer_json([-1, 0, 5]),
    "as many elements as may be": infer_json([1 << 20]),
    "words in data": infer_json([2], ["classification", 'shape": [99999999999]']),
    "quotes and backslashes in data": infer_json([1], ['"\\"\\\\', "\\", '\\\\"classification": 1']),
    "a name with an escape": json.dumps({"inputs": [], "parameters": {'é"\\\n': 1}}),
    "60 levels": nested(60),
    "1,000 members of one object": json.dumps({"parameters": dict.fromkeys(map(str, range(1_000)), 0)}),
    "10,000 objects of few members": json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "data": [1]}] * 10_000}),
    "many colons in a string": json.dumps({"inputs": [":" * 10_000, '":' * 10_000]}),
    "not JSON": "hello",
    "a shape that is not an array": '{"shape": 7}',
}
BAD_JSON = {
    "elements": infer_json([OVER]),
    "the product": infer_json([1 << 11, 1 << 11]),
    "the product, past zero": infer_json([0, 1 << 62]),
    "the sum": json.dumps({"inputs": [{"shape": [1 << 19]}] * 3}),
    "wraps": infer_json([1 << 62, 4]),
    "wraps to a small number": infer_json([1 << 63, 2]),
    "many twos": infer_json([2] * 64),
    "many digits": '{"shape": [' + "9" * 400 + "]}",
    "negative": infer_json([-2, -(1 << 62)]),
    "a shape with an exponent": '{"inputs": [{"shape": [1e9]}]}',
    "a shape in a shape": '{"inputs": [{"shape": [[1000000000]]}]}',
    "the second of two shapes": '{"inputs": [{"shape": [1], "shape": [1000000000]}]}',
    "a shape that does not end": '{"inputs": [{"shape": [1',
    "65 levels": nested(65),
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "1,001 members of one object": json.dumps({"parameters": dict.fromkeys(map(str, range(1_001)), 0)}),
    "1,500 members that are shapes": '{"inputs": [{' + '"shape": [1], ' * 1_500 + '"name": "X"}]}',
    "members around and after objects": '{"p": {' + ", ".join(f'"{n}": {{"a": 0}}' for n in range(1_500)) + "}}",
    "3 objects of 999 members": json.dumps({"inputs": [dict.fromkeys(map(str, range(999)), 0)] * 3}),
    "deep behind a string with quotes": '["\\\\", "\\"", ' + "[" * 100,
    "classification": json.dumps({"outputs": [{"name": "Z", "parameters": {"classification": 1}}]}),
    "classification and a space": '{"classification" \n: 1}',
    "escaped letters": '{"outputs": [{"parameters": {"cl\\u0061ssification": 1}}]}',
    "an escaped shape": '{"inputs": [{"\\u0073hape": [1000000000]}]}',
    "a string that does not end": '{"inputs": "',
    "a string that ends in an escape": '{"inputs": "\\',
}


async def test_json_that_triton_withstands_passes(rig: Rig) -> None:
    for name, body in GOOD_JSON.items():
        assert await rig.post(body) == (200, {"bytes": len(body.encode()), "length": str(len(body.encode()))}), name


async def test_json_that_ends_triton_is_refused(rig: Rig) -> None:
    for name, body in BAD_JSON.items():
        status, answer = await rig.post(body)
        assert (status, list(answer)) == (400, ["error"]), name


async def test_only_targets_that_need_it_are_guarded(rig: Rig) -> None:
    for name, body in BAD_JSON.items():
        assert (await rig.post(body, serving="bare"))[0] == 200, name


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
async def test_keys_of_generate_are_names_of_tensors(rig: Rig, verb: str) -> None:
    for body in ('{"shape": [1000000000]}', '{"classification": 3}', '{"\\u0061": 1}'):
        assert (await rig.post(body, verb))[0] == 200, body
    assert (await rig.post('{"text": ' + nested(65) + "}", verb))[0] == 400
    # The length of the JSON part belongs to infer alone.
    assert (await rig.post("{}" + nested(65), verb, Inference_Header_Content_Length="2"))[0] == 400


async def test_the_json_part_of_a_binary_request_is_checked(rig: Rig) -> None:
    head = infer_json([1, 4], parameters={"binary_data_size": 16})
    body = head.encode() + b'[["' * 1000
    length = str(len(head))
    assert await rig.post(body, Inference_Header_Content_Length=length) == (
        200,
        {"bytes": len(body), "length": str(len(body))},
    )
    bad = infer_json([1 << 40]).encode()
    assert (await rig.post(bad + bytes(100), Inference_Header_Content_Length=str(len(bad))))[0] == 400


@pytest.mark.parametrize("length", ["-1", "+5", "5 5", "0x5", "1e1", "", "99", "99999999999999999999", "five", "5,5"])
async def test_the_length_of_the_json_part_is_a_number_within_the_body(rig: Rig, length: str) -> None:
    assert (await rig.post('{"a": 1}', Inference_Header_Content_Length=length))[0] == 400


async def test_compressed_bodies_are_refused(rig: Rig) -> None:
    for encoding in ("gzip", "deflate", "GZIP", "br", "identity, gzip"):
        assert (await rig.post("{}", Content_Encoding=encoding))[0] == 400, encoding


async def test_a_body_in_many_chunks_arrives_with_its_length(rig: Rig) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20_000):
            yield b" "

    url = f"{rig.gateway.url}/seldon/team/guarded/v2/models/guarded/infer"
    async with rig.http.post(url, data=chunks()) as response:
        assert await response.json() == {"bytes": 20_000, "length": "20000"}


async def test_a_body_above_the_limit_is_refused(rig: Rig) -> None:
    status, answer = await rig.post(b" " * (REQUEST_BYTES + 1))
    assert (status, list(answer)) == (413, ["error"])
    assert (await rig.post(b" " * REQUEST_BYTES))[0] == 200


def model_infer(*shapes: list[int], **fields: Any) -> service_pb2.ModelInferRequest:
    inputs = [
        service_pb2.ModelInferRequest.InferInputTensor(name="X", datatype="FP32", shape=shape) for shape in shapes
    ]
    return service_pb2.ModelInferRequest(model_name="m", inputs=inputs, **fields)


def classified() -> bytes:
    output = service_pb2.ModelInferRequest.InferRequestedOutputTensor(name="Z")
    output.parameters["classification"].int64_param = 1
    return bytes(service_pb2.ModelInferRequest(outputs=[output]).SerializeToString())


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def unpacked(*sizes: int) -> bytes:
    """A request whose shape is one field for each size."""
    return delimited(5, b"".join(varint(3 << 3) + varint(size) for size in sizes))


GOOD_MESSAGES = {
    "plain": model_infer([1, 3], raw_input_contents=[bytes(12)]).SerializeToString(),
    "open and empty dimensions": model_infer([-1, 0, 5]).SerializeToString(),
    "empty": b"",
    "as many elements as it has bytes": model_infer([3 << 19], raw_input_contents=[bytes(3 << 19)]).SerializeToString(),
    "unpacked": unpacked(2, 3),
    "words elsewhere": model_infer([1], id="classification").SerializeToString(),
    "fields of all types": b"\x08\x01\x11" + bytes(8) + b"\x1d" + bytes(4),
}
BAD_MESSAGES = {
    "elements": model_infer([OVER]).SerializeToString(),
    "the product": model_infer([1 << 11, 1 << 11]).SerializeToString(),
    "the sum": model_infer([1 << 19], [1 << 19], [1 << 19]).SerializeToString(),
    "wraps": model_infer([1 << 62, 4]).SerializeToString(),
    "many twos": model_infer([2] * 64).SerializeToString(),
    "negative": model_infer([-2, 1]).SerializeToString(),
    "most negative": model_infer([-(1 << 63), 2]).SerializeToString(),
    "unpacked elements": unpacked(1 << 11, 1 << 11),
    "packed and unpacked": delimited(
        5, delimited(3, varint(1 << 11)) + varint(24) + varint(1 << 11) + delimited(3, b"\1")
    ),
    "a size of 65 bits": delimited(5, varint(24) + b"\xff" * 9 + b"\x7f"),
    "a size of 66 bits": delimited(5, varint(24) + b"\x80" * 9 + b"\x02"),
    "an endless size": delimited(5, varint(24) + b"\xff" * 10 + b"\x01"),
    "a field number that wraps": varint((1 << 32) + 42) + varint(7) + delimited(3, varint(1 << 30)),
    "classification": classified(),
    "classification, then another key": delimited(
        6, delimited(2, delimited(1, b"classification") + delimited(1, b"other"))
    ),
    "a length beyond the message": b"\x2a\x7f\x18\x01",
    "a length beyond its parent": delimited(5, b"\x1a\x7f") + bytes(200),
    "a length of 70 bits": b"\x2a" + b"\xff" * 9 + b"\x01",
    "a group": b"\x2b\x18\x01\x2c",
    "an unknown type": b"\x2e",
    "a number that does not end": b"\x08\xff",
}


async def test_messages_that_triton_withstands_pass(rig: Rig) -> None:
    for name, message in GOOD_MESSAGES.items():
        assert await rig.infer(message) == message, name


async def test_messages_that_end_triton_are_refused(rig: Rig) -> None:
    for name, message in BAD_MESSAGES.items():
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await rig.infer(message)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
        assert failed.value.details(), name


async def test_a_compressed_message_is_refused(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.infer(bytes(10_000), compression=grpc.Compression.Gzip)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_above_the_limit_is_refused(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await rig.infer(bytes(REQUEST_BYTES + 1))
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_passes_message_by_message_and_refused_ones_arrive_empty(rig: Rig) -> None:
    good, bad = list(GOOD_MESSAGES.values()), list(BAD_MESSAGES.values())
    sent = [message for pair in zip(bad, good * 4, strict=False) for message in pair]
    async with rig.channel() as channel:
        call = channel.stream_stream(STREAM)(metadata=GUARDED, timeout=60)
        for number, message in enumerate(sent):
            await call.write(message)
            assert await call.read() == (message if number % 2 else b""), number  # each before the next is sent
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_loses_what_is_too_large_or_compressed_and_goes_on(rig: Rig) -> None:
    good = GOOD_MESSAGES["plain"]
    async with rig.channel() as channel:
        call = channel.stream_stream(STREAM)(metadata=GUARDED, timeout=20, compression=grpc.Compression.Gzip)
        await call.write(bytes(5000))
        assert await call.read() == b""
        call = channel.stream_stream(STREAM)(metadata=GUARDED, timeout=20)
        for message in (bytes(REQUEST_BYTES + 1), bytes(3 * REQUEST_BYTES)):
            await call.write(message)
            assert await call.read() == b""
            await call.write(good)
            assert await call.read() == good


async def test_a_servers_metadata_lists_only_extensions_that_are_reachable(rig: Rig) -> None:
    async with rig.http.get(f"{rig.gateway.url}/seldon/team/guarded/v2") as response:
        assert await response.json() == {**SERVER, "extensions": ["sequence", "statistics"]}
    async with rig.http.get(f"{rig.gateway.url}/seldon/team/bare/v2") as response:
        assert await response.json() == SERVER
    echoed = service_pb2.ServerMetadataResponse(**SERVER).SerializeToString()
    async with rig.channel() as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
        answer = service_pb2.ServerMetadataResponse.FromString(await call(echoed, metadata=GUARDED, timeout=20))
    assert (answer.name, answer.version, list(answer.extensions)) == ("triton", "2.51.0", ["sequence", "statistics"])
