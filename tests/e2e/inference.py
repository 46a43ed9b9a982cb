"""The sample model, served, and asked by gRPC."""

from __future__ import annotations

from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.e2e.platform import Platform, until

__all__ = ["infer", "served"]


def served(platform: Platform) -> None:
    platform.push("team/adder:v1")
    until(lambda: "float32" in platform.run("klever", "describe", "version", "team/adder:v1").stdout)
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")


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
