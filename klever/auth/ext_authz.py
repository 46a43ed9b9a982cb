"""The access server: Envoy asks it before it lets a request pass (ext_authz, over HTTP/1.1 on a Unix socket).

It runs in a separate process, so that inference does not depend on the control plane. Envoy sends the head of each
request. The answer is 200, or the status and body for the client. Nothing is logged, because credentials are secret.

Source: envoyproxy.io/docs, "External Authorization".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, cast

from klever.auth import Access, Resource
from klever.auth.headers import parse_bearer
from klever.errors import KleverError, PermissionDeniedError, UnauthenticatedError

__all__ = ["check", "serve_access"]

_END: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 64 << 10
"""The largest head of a request in bytes. Envoy accepts less from its own clients."""
_BACKLOG: Final = 1024
_ALLOWED: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def check(access: Access, path: str, headers: Mapping[str, str]) -> None:
    """Raise `UnauthenticatedError` or `PermissionDeniedError` unless a request may pass.

    Header names are in lower case. Inference is authorized here. The API authorizes its calls itself.
    """
    caller = access.authenticate(parse_bearer(headers.get("authorization", "")))
    serving = _serving(path, headers)
    if serving is not None:
        access.require(caller, "infer", serving)


def _serving(path: str, headers: Mapping[str, str]) -> Resource | None:
    """Return the Serving that a request addresses. Envoy has normalized the path."""
    if path.startswith("/seldon/"):
        namespace, _, rest = path.removeprefix("/seldon/").partition("?")[0].partition("/")
        return Resource("Serving", namespace, rest.partition("/")[0])
    if path.startswith("/inference."):
        return Resource("Serving", headers.get("namespace", ""), headers.get("seldon", ""))
    return None


async def serve_access(socket: Path, access: Callable[[], Access]) -> asyncio.Server:
    """Answer Envoy on a Unix socket. Each request calls `access` for the current rule."""
    loop = asyncio.get_running_loop()
    return await loop.create_unix_server(lambda: _Connection(access), socket, backlog=_BACKLOG)


class _Connection(asyncio.Protocol):
    """One connection from Envoy: requests without a body, one after the other."""

    def __init__(self, access: Callable[[], Access]) -> None:
        self._access = access
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # as for every stream

    def data_received(self, data: bytes) -> None:
        self._received += data
        while _END in self._received:
            head, _, self._received = self._received.partition(_END)
            self._transport.write(self._answer(head))
        if len(self._received) > _MAX_HEAD:
            self._transport.abort()

    def _answer(self, head: bytes) -> bytes:
        request, *lines = head.decode(errors="surrogateescape").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = request.split(" ")[1]
        try:
            check(self._access(), path, headers)
        except KleverError as error:
            is_grpc = headers.get("content-type", "").startswith("application/grpc")
            return _refusal(error, plain=is_grpc or path.startswith("/api/"))
        return _ALLOWED


def _refusal(error: KleverError, *, plain: bool) -> bytes:
    """Return the response to the client. Envoy turns plain text into a gRPC status, or into the API's JSON error."""
    body = error.message if plain else json.dumps({"error": error.message}) + "\n"
    lines = [f"HTTP/1.1 {_status(error)}", f"content-length: {len(body.encode())}"]
    if not plain:
        lines.append("content-type: application/json")
    if isinstance(error, UnauthenticatedError):
        lines.append('www-authenticate: Bearer realm="klever"')
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def _status(error: KleverError) -> str:
    if isinstance(error, UnauthenticatedError):
        return "401 Unauthorized"
    if isinstance(error, PermissionDeniedError):
        return "403 Forbidden"
    return "503 Service Unavailable"
