"""The sample model, served, and asked: once by gRPC, or all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.e2e.platform import Platform, until

__all__ = ["infer", "served", "under_load"]

_PAUSE_SECONDS = 0.02
_SLOW_SECONDS = 10.0


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


@contextmanager
def under_load(platform: Platform, name: str, **headers: str) -> Iterator[list[float]]:
    """Send requests to a Serving, one after the other, while the body runs. Fail if one of them fails or hangs.

    Yields a growing list of the times of the responses. An error of the body takes precedence.
    """
    answered: list[float] = []
    failed: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(_PAUSE_SECONDS):
            begun = time.monotonic()
            try:
                status, body = platform.infer(name, **headers)
            except OSError as error:
                status, body = 0, str(error)
            took = time.monotonic() - begun
            if status == 200 and took < _SLOW_SECONDS:
                answered.append(time.monotonic())
            else:
                failed.append(f"{status} after {took:.1f} s: {body}")

    client = threading.Thread(target=ask)
    client.start()
    try:
        until(lambda: answered or failed)
        yield answered
    finally:
        stop.set()
        client.join()
    assert not failed, failed[:5]
