"""Calls to a server over one channel, with the token and deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from klever.client.channel import open_async_channel
from klever.client.errors import is_unsent, to_error
from klever.client.settings import Settings

__all__ = ["AsyncConnection"]

_INFERENCE: Final = "inference"
"""The package of the Open Inference Protocol."""
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)
"""The pauses in seconds before a call is tried again that did not reach the server."""
_FOLLOWING: Final = 30 * 86400.0
"""The deadline in seconds of a stream without a limit: without any deadline the server would set its own."""


class AsyncConnection:
    """A channel that opens with the first call. `timeout` is the deadline of a call in seconds."""

    def __init__(self, settings: Settings, timeout: float) -> None:
        """Raise `FailedPreconditionError` if the token must not be sent to the server."""
        settings.check()
        self.settings = settings
        self.timeout = timeout
        self._channel: Any = None
        self._answered = False
        """Whether a call has had a response."""
        self._methods: dict[str, Any] = {}
        self._token = [("authorization", f"Bearer {settings.token}")] if settings.token else []

    async def call(
        self,
        method: MethodDescriptor,
        request: Message,
        *,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str]] = (),
    ) -> Any:
        """Return the response of a unary call. Raises the error of `klever.errors` for its status.

        A server that has answered before may be restarting: a call that did not reach it is tried again.
        """
        timeout = self.timeout if timeout is None else timeout
        inference = method.containing_service.file.package == _INFERENCE
        for pause in (*(_PAUSES if self._answered else ()), None):
            try:
                response = await self._method(method)(request, timeout=timeout, metadata=[*self._token, *metadata])
            except grpc.RpcError as error:
                if pause is None or not is_unsent(error):
                    raise to_error(error, self.settings.server, inference=inference) from error
            else:
                self._answered = True
                return response
            await asyncio.sleep(pause)
        return None  # not reached: the last attempt returns or raises

    async def stream(
        self, method: MethodDescriptor, request: Message, *, timeout: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the responses of a server-streaming call, without a limit unless a timeout is given."""
        timeout = _FOLLOWING if timeout is None else timeout
        call = self._method(method)(request, timeout=timeout, metadata=self._token)
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise to_error(error, self.settings.server) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        """End the calls in progress and close the channel. A later call opens it again."""
        channel, self._channel = self._channel, None
        self._methods.clear()
        if channel is not None:
            await channel.close()

    def _method(self, method: MethodDescriptor) -> Any:
        path = f"/{method.containing_service.full_name}/{method.name}"
        if path not in self._methods:
            self._channel = self._channel or open_async_channel(self.settings)
            make = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
            self._methods[path] = make(
                path,
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
        return self._methods[path]
