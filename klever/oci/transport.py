"""Raw HTTP for blobs: one connection per request, blocks of 256 KiB, a deadline, credentials for one origin only.

`http.client` moves bytes at a third less CPU than requests, and holds one block in memory.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

from klever.errors import DeadlineError, UnavailableError
from klever.oci.auth import Authenticator
from klever.oci.blobs import BLOCK
from klever.oci.registries import Endpoint
from klever.oci.responses import MAX_ERROR, TransientError, error_of
from klever.oci.sockets import SocketConnection

__all__ = ["Body", "Deadline", "Response", "Transport", "follow", "origin"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body of `size` bytes; `write` is called with what sends one block of it."""

    size: int
    write: Callable[[Callable[[memoryview], None]], None]


class Deadline:
    """A moment that a call may last to, and the timeout of each wait until then; seconds."""

    def __init__(self, seconds: float, idle: float) -> None:
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._idle = idle

    def left(self, what: str) -> float:
        """Seconds that the next wait may take; raises `DeadlineError`."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{what}: not finished within {self._seconds:.0f} s")
        return min(left, self._idle)


@dataclass(slots=True)
class Response:
    """An answer whose body is still to be read; a context manager that closes its connection."""

    status: int
    headers: http.client.HTTPMessage
    url: str
    deadline: Deadline
    _connection: http.client.HTTPConnection
    _socket: socket.socket
    _answer: http.client.HTTPResponse

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._answer.close()
        self._connection.close()

    def read(self, count: int = BLOCK) -> bytes:
        """At most `count` bytes, none at the end; raises `TransientError` if the connection breaks."""
        try:
            self._socket.settimeout(self.deadline.left(self.url))
            return self._answer.read(count)
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"{self.url}: the connection broke: {error}") from error

    def expect(self, *statuses: int) -> Self:
        """This answer if it has one of `statuses`; raises what the answer means otherwise."""
        if self.status in statuses:
            return self
        raise error_of(self.status, self.read(MAX_ERROR), self.url)


class Transport:
    """Requests to one endpoint, authenticated, and to where it redirects, without credentials."""

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
        """Send one request; answers a challenge once, follows redirects of a GET.

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
        raise UnavailableError(f"{_shown(url)}: too many redirects")

    def _following(self, method: str, url: str, response: Response, challenged: bool) -> str | None:
        """The URL to send the request to again after this answer; None if it is the one."""
        if response.status == 401 and not challenged and origin(url) == self._home:
            return url if self._auth.answer(response.headers.get("WWW-Authenticate", "")) else None
        if response.status in _REDIRECTS and method == "GET":
            return follow(url, response.headers.get("Location", ""))
        return None

    def _send(
        self, method: str, url: str, deadline: Deadline, headers: Mapping[str, str], body: Body | None
    ) -> Response:
        shown = _shown(url)
        connection = self._connection(url, deadline.left(shown))
        try:
            connection.connect()
            sock: socket.socket = connection.sock  # kept: the answer may take it from the connection
            self._put_head(connection, method, url, _sized(headers, body))
            answer = _exchange(connection, sock, deadline, shown, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _connection_error(shown, error) from error
        except BaseException:
            connection.close()
            raise
        return Response(answer.status, answer.headers, shown, deadline, connection, sock, answer)

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
    """Scheme, host and port: what credentials are bound to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _shown(url: str) -> str:
    """The URL without its query, which may hold a signature that is as good as a password."""
    return url.partition("?")[0]


def _sized(headers: Mapping[str, str], body: Body | None) -> Mapping[str, str]:
    return headers if body is None else {**headers, "Content-Length": str(body.size)}


def _exchange(
    connection: http.client.HTTPConnection, sock: socket.socket, deadline: Deadline, url: str, body: Body | None
) -> http.client.HTTPResponse:
    def send(block: memoryview) -> None:
        sock.settimeout(deadline.left(url))
        sock.sendall(block)

    broken: OSError | None = None
    try:
        if body is not None:
            body.write(send)
    except (BrokenPipeError, ConnectionResetError) as error:
        broken = error  # the registry may have said why before it hung up
    sock.settimeout(deadline.left(url))
    answer = connection.getresponse()
    if broken is not None and answer.status < 400:
        raise broken
    return answer


def follow(url: str, location: str) -> str:
    """The URL that a Location header leads to from `url`; raises `UnavailableError` for none, or from https to http."""
    target = urljoin(url, location)
    if not location or urlsplit(target).scheme not in {"https", urlsplit(url).scheme}:
        raise UnavailableError(f"{_shown(url)}: leads on to {_shown(location)!r}, which is not followed")
    return target


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
