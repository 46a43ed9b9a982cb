"""Binds the handlers of services to grpc.aio: authentication, authorization, deadlines, statuses and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status

from klever.api.bounds import check_bounds
from klever.auth import ANONYMOUS, Access, Caller, Resource
from klever.auth.headers import parse_bearer
from klever.errors import DeadlineError, ExhaustedError, InvalidError, UnavailableError
from klever.limits import DEFAULTS, Limits
from klever.server.auth import Action
from klever.server.calls import CALLER, REQUEST_ID, Call, Context, RpcMetrics
from klever.server.errors import to_code, to_status
from klever.server.load import Load
from klever.server.services import Service

__all__ = ["Binder"]

DEADLINE: Final = 30.0
"""The deadline of a unary call whose caller sets none, in seconds."""
STREAM_DEADLINE: Final = 3600.0
"""The deadline of a stream whose caller sets none, in seconds. A watcher then resumes from the last version."""

_SMALL: Final = 8 << 10
"""The maximum size of a request that is parsed without a check of its bounds, in bytes.

Such a request becomes a megabyte at most. It cannot hold a free-form field that is too large, and admission refuses
lists with too many items."""
_GZIP: Final = b"\x1f\x8b"

Unary = Callable[[Any], Awaitable[Message | bytes]]
Stream = Callable[[Any], AsyncGenerator[Message | bytes, None]]


class Binder:
    """Wraps plain handlers as gRPC handlers."""

    def __init__(self, access: Access, metrics: RpcMetrics, limits: Limits = DEFAULTS) -> None:
        self._access = access
        self._metrics = metrics
        self._limits = limits
        self._load = Load(limits)
        self._streams: dict[asyncio.Timeout, Caller] = {}
        self._stopping = False

    def end_streams(self) -> None:
        """End the open streams. Watches and followed logs would delay the stop of the server."""
        self._stopping = True
        for limit in self._streams:
            if not limit.expired():
                limit.reschedule(0.0)

    def bind(self, service: Service) -> grpc.GenericRpcHandler[Any, Any]:
        """Return the handler of a service. Raise `AttributeError` if an RPC has no handler."""
        methods = {method.name: self._method(service, method) for method in service.descriptor.methods}
        return grpc.method_handlers_generic_handler(service.descriptor.full_name, methods)

    def _method(self, service: Service, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        handler, action = service.handler(method), service.action(method)
        wrap, make = (
            (self._stream(method, action, handler), grpc.unary_stream_rpc_method_handler)
            if method.server_streaming
            else (self._unary(method, action, handler), grpc.unary_unary_rpc_method_handler)
        )
        return make(wrap)

    def _unary(self, method: MethodDescriptor, action: Action, handler: Unary) -> Any:
        read = _reader(method)

        async def answer(content: bytes, call: Call, context: Context) -> bytes:
            caller = self._authenticate(call, action)
            request = read(content)
            call.about = partial(action.describe, request)
            self._access.require(caller, action.verb, action.resource(request))
            async with asyncio.timeout(context.time_remaining() or DEADLINE), self._load.turn(action, caller):
                response = _serialized(await handler(request))
            self._check_size(response, method.name)
            self._load.keep(response, caller, context)
            return response

        async def call(content: bytes, context: Context) -> bytes:
            call = Call(method, context)
            try:
                response = await answer(content, call, context)
            except asyncio.CancelledError:
                self._ended(call, grpc.StatusCode.CANCELLED)  # the caller is gone or has cancelled the call
                raise
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                await self._fail(call, error, context)
            self._ended(call, grpc.StatusCode.OK)
            return response

        return call

    def _stream(self, method: MethodDescriptor, action: Action, handler: Stream) -> Any:
        read = _reader(method)

        async def call(content: bytes, context: Context) -> None:
            call = Call(method, context)
            try:
                caller = self._authenticate(call, action)
                request = read(content)
                call.about = partial(action.describe, request)
                self._access.require(caller, action.verb, action.resource(request))
                async with (
                    self._open(method.name, caller, context.time_remaining() or STREAM_DEADLINE),
                    aclosing(handler(request)) as responses,
                ):
                    async for response in responses:
                        await self._load.write(_serialized(response), caller, context)
            except asyncio.CancelledError:
                self._ended(call, grpc.StatusCode.CANCELLED)  # the caller is gone or has cancelled the call
                raise
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                await self._fail(call, error, context)
            self._ended(call, grpc.StatusCode.OK)

        return call

    def _authenticate(self, call: Call, action: Action) -> Caller:
        """Return the caller. Refuse an anonymous caller without a right to the verb before its message is parsed.

        A named caller is authorized after its message is parsed, because the message names the object.
        """
        given = call.metadata.get("authorization", "")
        header = given.decode(errors="replace") if isinstance(given, bytes) else given
        caller = self._access.authenticate(parse_bearer(header))
        call.user = caller.name
        CALLER.set(caller.name)
        if caller == ANONYMOUS:
            self._access.require(caller, action.verb, Resource(action.kind, subresource=action.subresource))
        return caller

    @asynccontextmanager
    async def _open(self, method: str, caller: Caller, seconds: float) -> AsyncIterator[None]:
        """Limit the time of a stream, and let `end_streams` end it. Raise `ExhaustedError` if too many are open."""
        self._limits.admit("open_streams", len(self._streams), method)
        if caller == ANONYMOUS:
            self._limits.admit("anonymous_streams", list(self._streams.values()).count(ANONYMOUS), method)
        async with asyncio.timeout(seconds) as limit:
            self._streams[limit] = caller
            try:
                yield
            finally:
                del self._streams[limit]

    def _check_size(self, response: bytes, method: str) -> None:
        most = self._limits.response_bytes
        if len(response) > most:
            raise ExhaustedError(
                f"the answer of {method} has {len(response)} bytes, and the limit response_bytes is {most}: request "
                f"less, or start the platform with --limit response_bytes={len(response)}",
                reason="LIMIT_EXCEEDED",
                metadata={"limit": "response_bytes"},
            )

    async def _fail(self, call: Call, error: Exception, context: Context) -> NoReturn:
        """End a call with the status of an error. Raise `CancelledError` if the caller is gone."""
        if isinstance(error, grpc.aio.InternalError):  # from a write: the caller is gone, and grpc does not know it yet
            self._ended(call, grpc.StatusCode.CANCELLED)
            raise asyncio.CancelledError from error
        if isinstance(error, TimeoutError):
            name = call.method.name
            stopping = UnavailableError(f"{name} ends because the server stops")
            error = stopping if self._stopping else DeadlineError(f"{name} did not end in time")
        self._ended(call, to_code(error), error)
        status = rpc_status.to_status(to_status(error, call.id))
        error.__traceback__ = None  # it holds the refused answer
        trailing = (*status.trailing_metadata, (REQUEST_ID, call.id))
        try:
            await context.abort(status.code, status.details, trailing)
        except grpc.aio.InternalError as gone:  # which grpc would log with a traceback
            raise asyncio.CancelledError from gone
        raise AssertionError("abort raises")

    def _ended(self, call: Call, code: grpc.StatusCode, error: Exception | None = None) -> None:
        self._metrics.ended(call, code)
        call.log(code, error)


def _reader(method: MethodDescriptor) -> Callable[[bytes], Message]:
    """Return a function that parses requests.

    If gRPC parsed them, a parse error would be UNKNOWN, without metrics and without a request id.
    """
    message = GetMessageClass(method.input_type)

    def read(content: bytes) -> Message:
        if content.startswith(_GZIP):
            raise InvalidError("the request is compressed: send it without compression")
        if len(content) > _SMALL:
            check_bounds(content, method.input_type)
        try:
            return message.FromString(content)
        except DecodeError as error:
            raise InvalidError(f"the request is not a valid {method.input_type.name}: {error}") from error

    return read


def _serialized(response: Message | bytes) -> bytes:
    """Return a response as bytes. Some handlers return encoded bytes that several calls share."""
    return response if isinstance(response, bytes) else response.SerializeToString()
