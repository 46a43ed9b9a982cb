"""Requests that end Triton 2.51 do not reach it through the gateway; those of honest clients do."""

from __future__ import annotations

import gzip
import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient import grpc as grpc_client
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from tests.attacks.fuzz import fuzz
from tests.attacks.triton import (
    METADATA,
    NAME,
    VALUES,
    WORDS,
    infer,
    message,
    processes,
    read_outputs,
    send,
)
from tests.e2e.platform import Platform

Request = service_pb2.ModelInferRequest


@pytest.fixture(autouse=True)
def _unharmed(echo: Platform) -> Iterator[None]:
    """Whatever a test sends, the same processes answer afterwards."""
    infer(echo)
    before = processes(echo)
    assert len(before) >= 2
    yield
    infer(echo)
    assert processes(echo) == before


def body(shape: Any = (1,), data: Any = (1,), outputs: Any = (), **fields: Any) -> bytes:
    """An infer request; `data` is JSON already if it is a string."""
    written = data if isinstance(data, str) else json.dumps(data)
    head = json.dumps({"name": "F", "datatype": "FP32", "shape": shape, **fields})
    words = json.dumps({"name": "S", "datatype": "BYTES", "shape": [1], "data": ["x"]})
    asked = json.dumps(outputs or [{"name": "FOUT"}])
    return f'{{"inputs": [{head[:-1]}, "data": {written}}}, {words}], "outputs": {asked}}}'.encode()


def classified(output: str) -> list[dict[str, Any]]:
    return [{"name": output, "parameters": {"classification": 1}}]


DEEP = "[" * 100_000 + "]" * 100_000
HTTP = {
    "K1 a large shape": body([1 << 50]),
    "K1 a shape that costs 4 GB": body([1_000_000_000]),
    "K3 deep data": body([1], DEEP),
    "K3 brackets": b"[" * 1_000_000,
    "K4 a shape that wraps": body([1 << 62]),
    "K4 a shape of twos": body([2] * 62),
    "K5 classification of BYTES": body(outputs=classified("SOUT")),
    "K5 classification, escaped": body(outputs=classified("SOUT")).replace(b"classi", b"class\\u0069"),
    "K6 classification of nothing": body([0], [], outputs=classified("FOUT")),
}


@pytest.mark.parametrize("attack", HTTP)
def test_http(echo: Platform, attack: str) -> None:
    status, answer = send(echo, HTTP[attack])
    assert (status, list(answer)) == (400, ["error"])


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
def test_k3_deep_json_for_generate(echo: Platform, verb: str) -> None:
    content = f'{{"F": {DEEP}, "S": "x"}}'.encode()
    assert send(echo, content, verb)[0] == 400
    assert send(echo, content, verb, Inference_Header_Content_Length="2")[0] == 400


def test_k2_a_request_in_very_many_chunks(echo: Platform) -> None:
    content = body([1], [1])
    pieces = [b" "] * 600_000 + [content]
    status, answer = send(echo, pieces)
    assert (status, answer["outputs"][0]["data"]) == (200, [1])


def test_k7_binary_data_with_a_shape_that_wraps(echo: Platform) -> None:
    tensors = [
        {"name": "F", "datatype": "FP32", "shape": [1 << 62], "parameters": {"binary_data_size": 0}},
        {"name": "S", "datatype": "BYTES", "shape": [1], "data": ["x"]},
    ]
    head = json.dumps({"inputs": tensors}).encode()
    assert send(echo, head, Inference_Header_Content_Length=str(len(head)))[0] == 400


def test_k8_a_compressed_body_that_expands(echo: Platform) -> None:
    bomb = gzip.compress(body([1], " " * 50_000_000 + "[1]"))
    assert len(bomb) < 100_000
    assert send(echo, bomb, Content_Encoding="gzip")[0] == 400


def tensors(shape: list[int], **fields: Any) -> list[Any]:
    one = service_pb2.InferTensorContents(fp32_contents=[1.0])
    words = service_pb2.InferTensorContents(bytes_contents=[b"x"])
    tensor = Request.InferInputTensor
    return [
        tensor(**{"name": "F", "datatype": "FP32", "shape": shape, "contents": one, **fields}),
        tensor(name="S", datatype="BYTES", shape=[1], contents=words),
    ]


def classification(output: str) -> Any:
    asked = Request.InferRequestedOutputTensor(name=output)
    asked.parameters["classification"].int64_param = 1
    return asked


GRPC: dict[str, Callable[[], Any]] = {
    "K1 a large shape": lambda: message(inputs=tensors([1 << 50])),
    "K4 a shape that wraps": lambda: message(inputs=tensors([1 << 62])),
    "K5 classification of BYTES": lambda: message(outputs=[classification("SOUT")]),
    "K6 classification of nothing": lambda: message(outputs=[classification("FOUT")], inputs=tensors([0])),
    "K7 raw contents and a shape that wraps": lambda: Request(
        model_name=NAME,
        inputs=[
            Request.InferInputTensor(name="F", datatype="FP32", shape=[1 << 62]),
            Request.InferInputTensor(name="S", datatype="BYTES", shape=[1]),
        ],
        raw_input_contents=[b"", b"\1\0\0\0x"],
    ),
}


@pytest.mark.parametrize("attack", GRPC)
def test_grpc(echo: Platform, attack: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{echo.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.ModelInfer(GRPC[attack](), metadata=METADATA, timeout=30)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        sent = iter([GRPC[attack](), message()])
        refused, good = stub.ModelStreamInfer(sent, metadata=METADATA, timeout=30)
    assert refused.error_message
    assert not good.error_message
    assert len(good.infer_response.outputs) == 2


def test_k8_a_compressed_message_that_expands(echo: Platform) -> None:
    bomb = Request(model_name=NAME, raw_input_contents=[bytes(50_000_000)])
    with grpc.insecure_channel(f"127.0.0.1:{echo.port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.ModelInfer(bomb, metadata=METADATA, timeout=30, compression=grpc.Compression.Gzip)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_honest_binary_request_is_answered(echo: Platform) -> None:
    numbers = np.array(VALUES, np.float32).tobytes()
    words = serialize_byte_tensor(np.array([word.encode() for word in WORDS], object)).item()
    head = json.dumps(
        {
            "inputs": [
                {"name": name, "datatype": kind, "shape": [3], "parameters": {"binary_data_size": len(content)}}
                for name, kind, content in (("F", "FP32", numbers), ("S", "BYTES", words))
            ]
        }
    ).encode()
    status, answer = send(echo, head + numbers + words, Inference_Header_Content_Length=str(len(head)))
    assert (status, read_outputs(answer)) == (200, {"FOUT": VALUES, "SOUT": WORDS})


def inputs() -> list[Any]:
    numbers = grpc_client.InferInput("F", [len(VALUES)], "FP32")
    numbers.set_data_from_numpy(np.array(VALUES, np.float32))
    words = grpc_client.InferInput("S", [len(WORDS)], "BYTES")
    words.set_data_from_numpy(np.array([word.encode() for word in WORDS], object))
    return [numbers, words]


def right(result: Any) -> None:
    assert result.as_numpy("FOUT").tolist() == VALUES
    assert [bytes(word).decode() for word in result.as_numpy("SOUT")] == WORDS


def test_an_honest_grpc_client_is_answered(echo: Platform) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with grpc_client.InferenceServerClient(f"127.0.0.1:{echo.port}") as client:
        right(client.infer(NAME, inputs(), headers=dict(METADATA)))
        client.start_stream(lambda result, error: answers.put(error or result), headers=dict(METADATA))
        for _ in range(3):
            client.async_stream_infer(NAME, inputs())
            right(answers.get(timeout=30))
        client.stop_stream()


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
def test_an_honest_generate_is_answered(echo: Platform, verb: str) -> None:
    status, answer = send(echo, json.dumps({"F": 1.5, "S": "classification"}).encode(), verb)
    assert status == 200
    if verb == "generate":
        assert (answer["FOUT"], answer["SOUT"]) == (1.5, "classification")


@pytest.mark.parametrize("body", ["[1]", "1", '"text"', '{"parameters": 1}', "{"])
def test_an_invalid_generate_request_is_a_client_error(echo: Platform, body: str) -> None:
    path = f"/seldon/default/{NAME}/v2/models/{NAME}/generate"
    status, text = echo.http("POST", path, body, **{"Content-Type": "application/json"})
    assert status == 400, text


async def test_generated_requests(echo: Platform) -> None:
    """Some thousand; `bench/fuzz.py` sends as many as one likes."""
    outcome = await fuzz(echo, range(3000))
    print(outcome.ends, outcome.wrong[:5])
    assert not outcome.wrong, outcome.wrong[:5]
    assert outcome.ends["HTTP 200"] > 100
    assert outcome.ends["HTTP 400"] > 100
    assert outcome.ends["gRPC StatusCode.INVALID_ARGUMENT"] > 100
    assert not outcome.ends.keys() & {"HTTP 500", "gRPC StatusCode.INTERNAL"}, outcome.ends
