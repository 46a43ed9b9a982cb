"""A gRPC server whose answers a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status
from tritonclient.grpc import service_pb2

from klever.client.channel import SERVICES
from klever.errors import KleverError
from klever.server.errors import to_status

__all__ = ["Answer", "running"]

_SERVICES = SERVICES | dict(service_pb2.DESCRIPTOR.services_by_name)
Answer = Callable[[Any, grpc.ServicerContext], Any]
"""Returns a response, or yields those of a stream. A `KleverError` becomes the status of the platform."""


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # it takes none when it runs
    def __init__(self, answers: dict[str, Answer]) -> None:
        self._answers = answers

    def service(self, handler_call_details: Any) -> Any:
        _, service, name = handler_call_details.method.split("/")
        method = _SERVICES[service.rpartition(".")[2]].methods_by_name[name]
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        answer = _streamed if method.server_streaming else _told
        return make(
            answer(self._answers[name]),
            GetMessageClass(method.input_type).FromString,
            GetMessageClass(method.output_type).SerializeToString,
        )


def _told(answer: Answer) -> Answer:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return answer(request, context)
        except KleverError as error:
            context.abort_with_status(rpc_status.to_status(to_status(error, "r1")))

    return call


def _streamed(answer: Answer) -> Answer:
    def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from answer(request, context)
        except KleverError as error:
            context.abort_with_status(rpc_status.to_status(to_status(error, "r1")))

    return call


@contextmanager
def running(at: str = "127.0.0.1:0", /, **answers: Answer) -> Iterator[str]:
    """Serve RPCs by their names; yields HOST:PORT."""
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Handlers(answers)])
    port = server.add_insecure_port(at)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
