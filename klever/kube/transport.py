"""Requests to one API server: connections, credentials, deadlines, flow control, retries."""

from __future__ import annotations

import asyncio
import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from klever.errors import DeadlineError, FailedPreconditionError, KleverError, UnavailableError
from klever.kube.config import KubeConfig
from klever.kube.credentials import Credentials, CredentialSource
from klever.kube.responses import error_of
from klever.kube.throttle import Throttle

__all__ = ["Transport"]

_CONNECT_SECONDS = 5.0
_WATCHES = 1000
_BUSY = frozenset((429, 503))
"""Answers of a server that did nothing: the request may be sent again, whatever it is."""
_FIRST_DELAY = 0.1
_MAX_DELAY = 5.0


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    """Encoded already."""
    query: Mapping[str, str]
    data: bytes | None = None
    content_type: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, server: str) -> URL:
        return URL(server + self.path, encoded=True).with_query(self.query)


class Transport:
    """Sends requests; calls and watches have connections of their own, so that neither starves the other."""

    def __init__(self, config: KubeConfig, *, qps: float, burst: int, connections: int) -> None:
        self._config = config
        self._source = CredentialSource(config)
        self._throttle = Throttle(qps, burst)
        self._connections = connections
        self._certificate = b""
        self._sessions: tuple[aiohttp.ClientSession, aiohttp.ClientSession] | None = None

    async def close(self) -> None:
        for session in self._sessions or ():
            await session.close()
        self._sessions = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: Any = None,
        content_type: str = "application/json",
        deadline: float,
    ) -> Any:
        """Send a request and return the answer's JSON.

        Repeated within `deadline` seconds are a GET, and whatever the server has not begun with. Raises the error that
        the answer means, `UnavailableError` where none came, `DeadlineError`.
        """
        request = _Request(method, path, query, None if body is None else orjson.dumps(body), content_type)
        try:
            async with asyncio.timeout(deadline):
                return await self._tried(request)
        except TimeoutError as error:
            raise DeadlineError(f"{request}: no answer of {self._config.server} within {deadline:g} s") from error

    async def _tried(self, request: _Request) -> Any:
        delay = _FIRST_DELAY
        again = True
        while True:
            await self._throttle.wait()
            try:
                async with self._sent(request, 0) as response:
                    answer = await response.read()
                    code, after = response.status, response.headers.get("Retry-After", "")
            except aiohttp.ClientError as error:
                unsent = isinstance(error, aiohttp.ClientConnectorError)
                if (
                    isinstance(error, aiohttp.ClientSSLError)
                    or not (unsent or request.method == "GET")
                    or delay > _MAX_DELAY
                ):
                    raise self._unreachable(error, request) from error
                after = ""
            else:
                if code < 400:
                    return orjson.loads(answer)
                if code == 401 and again and self._source.refused():
                    again = False
                    continue
                if code not in _BUSY or delay > _MAX_DELAY:
                    raise error_of(code, answer, str(request))
            await asyncio.sleep(float(after) if after.isdecimal() else delay * random.uniform(0.8, 1.2))  # noqa: S311
            delay *= 2

    @asynccontextmanager
    async def stream(self, path: str, *, query: Mapping[str, str], first: float) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a stream, whose headers come within `first` seconds; one attempt."""
        request = _Request("GET", path, query)
        await self._throttle.wait()
        try:
            async with asyncio.timeout(first) as bound, self._sent(request, 1) as response:
                if response.status >= 400:
                    if response.status == 401:
                        self._source.refused()
                    raise error_of(response.status, await response.read(), str(request))
                bound.reschedule(None)
                yield response.content
        except aiohttp.ClientError as error:
            raise self._unreachable(error, request) from error
        except TimeoutError as error:
            raise UnavailableError(f"{request}: silence of {self._config.server}") from error

    @asynccontextmanager
    async def _sent(self, request: _Request, session: int) -> AsyncIterator[aiohttp.ClientResponse]:
        credentials = await self._source.get()
        headers = {"Accept": "application/json", "User-Agent": "klever"}
        if credentials.authorization:
            headers["Authorization"] = credentials.authorization
        if request.data is not None:
            headers["Content-Type"] = request.content_type
        sessions = await self._opened(credentials)
        async with sessions[session].request(
            request.method,
            request.url(self._config.server),
            data=request.data,
            headers=headers,
            proxy=self._config.proxy or None,
            server_hostname=self._config.tls_server_name or None,
            allow_redirects=False,
        ) as response:
            yield response

    async def _opened(self, credentials: Credentials) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
        """Return the sessions; a new client certificate takes new ones."""
        if self._sessions is None or credentials.certificate != self._certificate:
            await self.close()
            context = _tls(self._config, credentials)
            self._certificate = credentials.certificate
            self._sessions = (_session(context, self._connections), _session(context, _WATCHES))
        return self._sessions

    def _unreachable(self, error: aiohttp.ClientError, request: _Request) -> KleverError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return FailedPreconditionError(f"{self._config.server} is not whom the kubeconfig trusts: {error}")
        return UnavailableError(
            f"{request}: {self._config.server} does not answer: {str(error) or type(error).__name__}"
        )


def _session(context: ssl.SSLContext, connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=context, ttl_dns_cache=60),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        trust_env=True,
    )


def _tls(config: KubeConfig, credentials: Credentials) -> ssl.SSLContext:
    """Raises `FailedPreconditionError` for certificates that are none."""
    try:
        authority = config.authority.decode() if config.authority else None
        context = ssl.create_default_context(cadata=authority)
        if config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate:
            # OpenSSL's binding loads from files alone.
            with tempfile.NamedTemporaryFile() as file:
                file.write(credentials.certificate + b"\n" + credentials.key)
                file.flush()
                context.load_cert_chain(file.name)
    except (ssl.SSLError, ValueError) as error:
        raise FailedPreconditionError(f"a certificate of the kubeconfig cannot be read: {error}") from error
    return context
