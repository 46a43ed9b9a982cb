"""A Serving to attack: a model that returns what it is sent, and what shows that its Triton is still the same."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper
from tritonclient.grpc import service_pb2

from tests.e2e.platform import Platform, replicas

__all__ = ["GRPC", "METADATA", "NAME", "deploy_echo", "infer", "message", "processes", "read_outputs", "send"]

NAME = "echo"
METADATA = (("seldon", NAME), ("namespace", "default"))
GRPC = "/inference.GRPCInferenceService"
_TENSORS = (("F", TensorProto.FLOAT), ("S", TensorProto.STRING))
VALUES, WORDS = [1.5, -2.0, 3.25], ["a", "classification", 'say "no"']


def deploy_echo(platform: Platform) -> None:
    """Serve a model with the inputs F (FP32) and S (BYTES), each of any length, and outputs FOUT and SOUT like them."""
    inputs = [helper.make_tensor_value_info(name, kind, ["n"]) for name, kind in _TENSORS]
    outputs = [helper.make_tensor_value_info(f"{name}OUT", kind, ["n"]) for name, kind in _TENSORS]
    nodes = [helper.make_node("Identity", [name], [f"{name}OUT"]) for name, _ in _TENSORS]
    graph = helper.make_graph(nodes, "echo", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    directory = platform.root / NAME
    (directory / "model").mkdir(parents=True)
    (directory / "model" / "model.onnx").write_bytes(model.SerializeToString())
    (directory / "ormbfile.yaml").write_text("format: ONNX\n")
    platform.run("ormb", "save", str(directory), f"attacks/{NAME}:v1")
    platform.run("ormb", "push", f"attacks/{NAME}:v1")
    platform.run("klever", "deploy", f"attacks/{NAME}:v1", "--name", NAME, "--wait")


def processes(platform: Platform) -> list[str]:
    """The pids of the Serving's Tritons and of the processes in which they run models."""
    own = f"/serving.default.{NAME}.".encode()
    servers = [pid for pid in replicas(platform) if own in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return servers + sorted(child for server in servers for child in _children(server))


def _children(pid: str) -> Iterable[str]:
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from thread.read_text().split()


def send(
    platform: Platform, body: bytes | Iterable[bytes], verb: str = "infer", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Post to the model; several pieces are sent as HTTP chunks. Returns status and answer."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)
    try:
        path = f"/seldon/default/{NAME}/v2/models/{NAME}/{verb}"
        connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text.startswith(b"{") else {"text": text}
    finally:
        connection.close()


def message(**fields: Any) -> service_pb2.ModelInferRequest:
    """A gRPC request that `read_outputs` is the answer to; `fields` are set on it."""
    numbers = service_pb2.InferTensorContents(fp32_contents=VALUES)
    words = service_pb2.InferTensorContents(bytes_contents=[word.encode() for word in WORDS])
    tensor = service_pb2.ModelInferRequest.InferInputTensor
    inputs = [
        tensor(name="F", datatype="FP32", shape=[len(VALUES)], contents=numbers),
        tensor(name="S", datatype="BYTES", shape=[len(WORDS)], contents=words),
    ]
    return service_pb2.ModelInferRequest(**{"model_name": NAME, "inputs": inputs, **fields})


def read_outputs(answer: dict[str, Any]) -> dict[str, Any]:
    return {output["name"]: output["data"] for output in answer["outputs"]}


def infer(platform: Platform) -> None:
    """Ask for an inference; fails unless the answer is right."""
    inputs = [
        {"name": "F", "datatype": "FP32", "shape": [len(VALUES)], "data": VALUES},
        {"name": "S", "datatype": "BYTES", "shape": [len(WORDS)], "data": WORDS},
    ]
    status, answer = send(platform, json.dumps({"inputs": inputs}).encode())
    assert (status, read_outputs(answer)) == (200, {"FOUT": VALUES, "SOUT": WORDS}), answer
