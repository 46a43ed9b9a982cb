"""Plain HTTP for blobs: one connection per request, blocks of 256 KiB, a deadline, credentials for one origin only.

`http.client` needs a third less CPU than requests, and keeps one block in memory.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from klever.errors import UnavailableError
from klever.oci.auth import Authenticator
from klever.oci.blobs import BLOCK
from klever.oci.patience import Alarm, Deadline
from klever.oci.redirects import follow, without_query
from klever.oci.registries import Endpoint
from klever.oci.responses import MAX_ERROR, TransientError, response_error
from klever.oci.sockets import SocketConnection

__all__ = ["Body", "Response", "Transport", "origin"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body of `size` bytes. `write` receives a function that sends one block."""

    size: int
    write: Callable[[Callable[[memoryview], None]], None]


@dataclass(slots=True)
class Response:
    """A response whose body is not read yet. A context manager that closes its connection."""

    status: int
    headers: http.client.HTTPMessage
    url: str
    deadline: Deadline
    _connection: http.client.HTTPConnection
    _socket: socket.socket
    _answer: http.client.HTTPResponse
    _alarm: Alarm

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._alarm.stop()
        self._answer.close()
        self._connection.close()

    def read(self, count: int = BLOCK) -> bytes:
        """Return at most `count` bytes, none at the end. Raises `TransientError` if the connection breaks."""
        try:
            self._socket.settimeout(self.deadline.left(self.url))
            block = self._answer.read(count)
            self._alarm.check()
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"{self.url}: the connection broke: {error}") from error
        return block

    def expect(self, *statuses: int) -> Self:
        """Return this response if it has one of `statuses`. Raises its error otherwise."""
        if self.status in statuses:
            return self
        raise response_error(self.status, self.read(MAX_ERROR), self.url)


class Transport:
    """Sends requests to one endpoint with credentials, and to redirect targets without them."""

    def __init__(self, endpoint: Endpoint, authenticator: Authenticator) -> None:
        self._home = origin(endpoint.base)
        self._socket = endpoint.socket
        self._auth = authenticator
        self._tls = None if endpoint.plain_http else _tls(endpoint)

    def request(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Response:
        """Send one request. Answers one challenge, and follows redirects of a GET.

        Raises `TransientError` if the registry cannot be reached or the connection breaks, `DeadlineError`.
        """
        challenged = False
        for _ in range(_MAX_REDIRECTS):
            response = self._send(method, url, deadline, headers or {}, body)
            try:
                following = self._following(method, url, response, challenged)
            except BaseException:
                response.close()
                raise
            if following is None:
                return response
            response.close()
            challenged = challenged or response.status == 401
            url = following
        raise UnavailableError(f"{without_query(url)}: too many redirects")

    def _following(self, method: str, url: str, response: Response, challenged: bool) -> str | None:
        """Return the URL for the next request; None if this response is final."""
        if response.status == 401 and not challenged and origin(url) == self._home:
            return url if self._auth.answer(response.headers.get("WWW-Authenticate", "")) else None
        if response.status in _REDIRECTS and method == "GET":
            return follow(url, response.headers.get("Location", ""))
        return None

    def _send(
        self, method: str, url: str, deadline: Deadline, headers: Mapping[str, str], body: Body | None
    ) -> Response:
        shown = without_query(url)
        connection = self._connection(url, deadline.left(shown))
        try:
            connection.connect()
            sock: socket.socket = connection.sock  # kept, because the response may take it from the connection
            self._put_head(connection, method, url, _sized(headers, body))
            answer, alarm = _exchange(connection, sock, deadline, shown, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _connection_error(shown, error) from error
        except BaseException:
            connection.close()
            raise
        return Response(answer.status, answer.headers, shown, deadline, connection, sock, answer, alarm)

    def _connection(self, url: str, timeout: float) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if self._socket is not None and origin(url) == self._home:
            return SocketConnection(self._socket, timeout)
        if parts.scheme == "https":
            context = self._tls or ssl.create_default_context()
            return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=context)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)

    def _put_head(
        self, connection: http.client.HTTPConnection, method: str, url: str, headers: Mapping[str, str]
    ) -> None:
        parts = urlsplit(url)
        connection.putrequest(method, f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        credentials = self._auth.header() if origin(url) == self._home else {}
        for name, value in {**headers, **credentials}.items():
            connection.putheader(name, value)
        connection.endheaders()


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port, to which credentials are bound."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _sized(headers: Mapping[str, str], body: Body | None) -> Mapping[str, str]:
    return headers if body is None else {**headers, "Content-Length": str(body.size)}


def _exchange(
    connection: http.client.HTTPConnection, sock: socket.socket, deadline: Deadline, url: str, body: Body | None
) -> tuple[http.client.HTTPResponse, Alarm]:
    def send(block: memoryview) -> None:
        sock.settimeout(deadline.left(url))
        sock.sendall(block)

    broken: OSError | None = None
    try:
        if body is not None:
            body.write(send)
    except (BrokenPipeError, ConnectionResetError) as error:
        broken = error  # the registry may have sent an error before it closed the connection
    sock.settimeout(deadline.left(url))
    alarm = Alarm(deadline.rest, sock)
    try:
        answer = connection.getresponse()
    except BaseException:
        alarm.stop()
        raise
    if broken is not None and answer.status < 400:
        alarm.stop()
        answer.close()
        raise broken
    return answer, alarm


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.ca)
    if endpoint.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connection_error(url: str, error: OSError | http.client.HTTPException) -> UnavailableError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnavailableError(f"{url}: the certificate is not trusted: {error.verify_message}", reason="TLS")
    return TransientError(f"{url}: {error}")
