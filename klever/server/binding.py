"""Binds a service's handlers to grpc.aio: what every RPC needs, once.

A handler object has a method in snake case for each RPC of the service descriptor; one that is missing is an error at
start-up, not at the first call.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, Counter, Histogram

from klever.errors import DeadlineError, KleverError
from klever.server.auth import TokenAuthenticator
from klever.server.errors import code_of, to_status

__all__ = ["Binder", "RpcMetrics"]

log = logging.getLogger(__name__)

DEADLINE = 30.0
"""Seconds that a unary call may take where its caller sets no deadline."""

Context = Any
"""grpc.aio.ServicerContext; its stubs lack abort_with_status."""
Unary = Callable[[Any], Awaitable[Message]]
Stream = Callable[[Any], AsyncIterator[Message | bytes]]


class RpcMetrics:
    """Count and latency by method and code."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.total = Counter("klever_rpc", "RPCs", ["method", "code"], registry=registry)
        self.seconds = Histogram("klever_rpc_seconds", "Time of a unary RPC", ["method"], registry=registry)


class Binder:
    """Makes gRPC handlers of plain ones."""

    def __init__(self, authenticator: TokenAuthenticator, metrics: RpcMetrics) -> None:
        self._authenticator = authenticator
        self._metrics = metrics

    def bind(self, service: ServiceDescriptor, handlers: object) -> grpc.GenericRpcHandler[Any, Any]:
        """Return the handler of a whole service. Raises AttributeError if `handlers` lacks an RPC."""
        methods = {m.name: self._method(m, getattr(handlers, _snake(m.name))) for m in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _method(self, method: MethodDescriptor, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        wrap, make = (
            (self._stream(method.name, handler), grpc.unary_stream_rpc_method_handler)
            if method.server_streaming
            else (self._unary(method.name, handler), grpc.unary_unary_rpc_method_handler)
        )
        request: Any = GetMessageClass(method.input_type)
        return make(wrap, request_deserializer=request.FromString, response_serializer=_serialized)

    def _unary(self, method: str, handler: Unary) -> Any:
        succeeded = self._metrics.total.labels(method, "OK")
        seconds = self._metrics.seconds.labels(method)

        async def call(request: Message, context: Context) -> Message:
            started = time.perf_counter()
            try:
                self._authenticator.check(method, context.invocation_metadata() or ())
                async with asyncio.timeout(context.time_remaining() or DEADLINE):
                    response = await handler(request)
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                await self._fail(method, error, context)
            seconds.observe(time.perf_counter() - started)
            succeeded.inc()
            return response

        return call

    def _stream(self, method: str, handler: Stream) -> Any:
        async def call(request: Message, context: Context) -> AsyncIterator[Message | bytes]:
            try:
                self._authenticator.check(method, context.invocation_metadata() or ())
                async for response in handler(request):
                    yield response
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                await self._fail(method, error, context)
            self._metrics.total.labels(method, "OK").inc()

        return call

    async def _fail(self, method: str, error: Exception, context: Context) -> NoReturn:
        request_id = _request_id(context)
        code = code_of(error)
        if isinstance(error, TimeoutError):
            error = DeadlineError(f"{method} did not finish in time")
            code = code_of(error)
        self._metrics.total.labels(method, code.name).inc()
        if isinstance(error, KleverError):
            log.info("%s %s: %s", method, code.name, error, extra={"request_id": request_id})
            status = to_status(error)
        else:
            log.error("%s failed", method, exc_info=error, extra={"request_id": request_id})
            message = f"internal error; the server's log has it under {request_id}"
            status = status_pb2.Status(code=code_pb2.INTERNAL, message=message)
        await context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort raises")


def _serialized(response: Message | bytes) -> bytes:
    """A watch serializes an event once for all who hear of it."""
    return response if isinstance(response, bytes) else response.SerializeToString()


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id":
            return str(value)
    return uuid.uuid4().hex


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
