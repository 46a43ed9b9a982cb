"""One request of the Open Inference Protocol in each of the ways that a client may send it."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tritonclient import grpc as grpc_client
from tritonclient.utils import serialize_byte_tensor, serialized_byte_size, triton_to_np_dtype

from tests.e2e.platform import Platform

__all__ = ["WAYS", "Arrays", "Metadata", "to_arrays", "to_metadata"]

Arrays = dict[str, np.ndarray[Any, Any]]
Tensors = list[dict[str, Any]]
Metadata = dict[str, dict[str, tuple[str, list[int]]]]
"""Datatype and shape by name, of the inputs and of the outputs."""


def to_arrays(tensors: Tensors) -> Arrays:
    """Return the values of tensors as the protocol writes them in JSON."""
    return {tensor["name"]: _array(tensor) for tensor in tensors}


def _array(tensor: dict[str, Any]) -> np.ndarray[Any, Any]:
    text = tensor["datatype"] == "BYTES"
    data = [value.encode() if isinstance(value, str) else value for value in tensor["data"]] if text else tensor["data"]
    return np.array(data, triton_to_np_dtype(tensor["datatype"])).reshape(tensor["shape"])


def to_metadata(signature: Mapping[str, Any]) -> Metadata:
    """Return what a server should say of a model with this signature."""
    return {
        kind: {tensor["name"]: (tensor["datatype"], _shape(tensor)) for tensor in signature[kind]}
        for kind in ("inputs", "outputs")
    }


def _shape(tensor: Mapping[str, Any]) -> list[int]:
    """Return the shape that a server has for a tensor: one of unknown rank is a vector, and so is a scalar."""
    shape: list[int] | None = tensor.get("shape")
    return [-1] if shape is None else shape or [1]


def by_json(platform: Platform, name: str, inputs: Tensors) -> Arrays:
    answer = platform.run("klever", "predict", name, "--input", "-", stdin=json.dumps({"inputs": inputs})).stdout
    return to_arrays(json.loads(answer)["outputs"])


def by_binary(platform: Platform, name: str, inputs: Tensors) -> Arrays:
    """Binary both ways, by the extension for binary tensors."""
    parts = [_bytes(array) for array in to_arrays(inputs).values()]
    heads = [
        {**{key: tensor[key] for key in ("name", "shape", "datatype")}, "parameters": {"binary_data_size": len(part)}}
        for tensor, part in zip(inputs, parts, strict=True)
    ]
    head = json.dumps({"inputs": heads, "parameters": {"binary_data_output": True}}).encode()
    request = urllib.request.Request(
        f"{platform.url}/seldon/default/{name}/v2/models/{name}/infer",
        b"".join((head, *parts)),
        {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        content = response.read()
        length = int(response.headers["Inference-Header-Content-Length"])
    found, at = {}, length
    for output in json.loads(content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]] = _parsed(output, content[at : at + size])
        at += size
    return found


def by_grpc(platform: Platform, name: str, inputs: Tensors) -> Arrays:
    tensors = []
    for tensor, array in zip(inputs, to_arrays(inputs).values(), strict=True):
        tensors.append(grpc_client.InferInput(tensor["name"], tensor["shape"], tensor["datatype"]))
        tensors[-1].set_data_from_numpy(array)
    with grpc_client.InferenceServerClient(f"127.0.0.1:{platform.port}") as client:
        headers = {"seldon": name, "namespace": "default"}
        result = client.infer(name, tensors, headers=headers, client_timeout=30)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def _bytes(array: np.ndarray[Any, Any]) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    return bytes(serialize_byte_tensor(array).item()) if serialized_byte_size(array) else b""


def _parsed(output: dict[str, Any], content: bytes) -> np.ndarray[Any, Any]:
    if output["datatype"] != "BYTES":
        return np.frombuffer(content, triton_to_np_dtype(output["datatype"])).reshape(output["shape"])
    found, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "little")
        found.append(content[at + 4 : at + 4 + size])
        at += 4 + size
    return np.array(found, object).reshape(output["shape"])


WAYS: dict[str, Callable[[Platform, str, Tensors], Arrays]] = {
    "JSON": by_json,
    "binary": by_binary,
    "gRPC": by_grpc,
}
