"""Requests to one API server: credentials, deadlines, flow control, retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import aiohttp
import orjson
from yarl import URL

from klever.errors import DeadlineError, FailedPreconditionError, KleverError, UnavailableError
from klever.kube.config import Credentials, KubeConfig
from klever.kube.credentials import CredentialSource
from klever.kube.responses import no_api_server, response_error
from klever.kube.sessions import Sessions

__all__ = ["Transport"]

_BUSY = frozenset((429, 503))
"""Statuses of a server that has not processed the request: any request can be retried."""
_FIRST_DELAY = 0.1
_MAX_DELAY = 5.0


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    """Percent-encoded."""
    query: Mapping[str, str]
    data: bytes | None = None
    content_type: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Throttle:
    """Allows `qps` requests a second on average, and `burst` at once (client-go's token bucket)."""

    def __init__(self, qps: float, burst: int) -> None:
        self._interval = 1.0 / qps
        self._capacity = burst * self._interval
        self._next = 0.0

    async def wait(self) -> None:
        """Take a token, or wait for one. Callers wait in order."""
        now = time.monotonic()
        self._next = max(self._next, now - self._capacity) + self._interval
        if self._next > now:
            await asyncio.sleep(self._next - now)


class Transport:
    """Sends requests as one user."""

    def __init__(self, config: KubeConfig, *, qps: float, burst: int, connections: int) -> None:
        self._config = config
        self._source = CredentialSource(config)
        self._throttle = _Throttle(qps, burst)
        self._sessions = Sessions(config, connections)

    async def close(self) -> None:
        await self._sessions.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = MappingProxyType({}),
        body: Any = None,
        content_type: str = "application/json",
        deadline: float,
    ) -> dict[str, Any]:
        """Send a request and return the JSON of the response.

        Retries a GET, and a request that the server has not processed, within `deadline` seconds. Raises the error of
        the response, `UnavailableError` without a response from an API server, or `DeadlineError`.
        """
        request = _Request(method, path, query, None if body is None else orjson.dumps(body), content_type)
        ends = asyncio.get_running_loop().time() + deadline
        try:
            async with asyncio.timeout_at(ends):
                return await self._tried(request, ends)
        except TimeoutError as error:
            raise DeadlineError(f"{request}: no answer from {self._config.server} within {deadline:g} s") from error

    async def _tried(self, request: _Request, ends: float) -> dict[str, Any]:
        delay = _FIRST_DELAY
        while True:
            await self._throttle.wait()
            pause = delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
            try:
                async with self._sent(request, watch=False) as response:
                    answer = await response.read()
            except aiohttp.ClientError as error:
                failure = self._unreachable(error, request)
                cause: Exception | None = error
                again = _may_repeat(error, request)
            else:
                if 200 <= response.status < 300:
                    return self._parsed(request, answer)
                failure, cause = self._refused(request, response, answer), None
                again = response.status in _BUSY
                pause = max(pause, float(failure.metadata.get("retry_after", "0")))
            if not again or delay > _MAX_DELAY or asyncio.get_running_loop().time() + pause > ends:
                raise failure from cause
            await asyncio.sleep(pause)
            delay *= 2

    @asynccontextmanager
    async def stream(self, path: str, *, query: Mapping[str, str], first: float) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a stream, without retries. Its headers must arrive within `first` seconds."""
        request = _Request("GET", path, query)
        await self._throttle.wait()
        try:
            async with asyncio.timeout(first) as bound, self._sent(request, watch=True) as response:
                if response.status != 200:
                    raise self._refused(request, response, await response.read())
                bound.reschedule(None)
                try:
                    yield response.content
                finally:
                    _cut(response)
        except aiohttp.ClientError as error:
            raise self._unreachable(error, request) from error
        except TimeoutError as error:
            raise UnavailableError(f"{request}: {self._config.server} sent no data") from error

    @asynccontextmanager
    async def _sent(self, request: _Request, *, watch: bool) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request. Retry once if the server rejects the credentials and there may be others."""
        for last in (False, True):
            credentials = await self._source.get()
            async with (
                self._sessions.use(credentials, watch=watch) as session,
                session.request(
                    request.method,
                    URL(self._config.server + request.path, encoded=True).with_query(request.query),
                    data=request.data,
                    headers=self._headers(request, credentials),
                    proxy=self._config.proxy or None,
                    server_hostname=self._config.tls_server_name or None,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status == 401 and not last and self._source.refused(credentials):
                    continue
                yield response
                return

    def _headers(self, request: _Request, credentials: Credentials) -> list[tuple[str, str]]:
        headers = [("Accept", "application/json"), ("User-Agent", "klever"), *self._config.impersonation]
        if credentials.authorization:
            headers.append(("Authorization", credentials.authorization))
        if request.data is not None:
            headers.append(("Content-Type", request.content_type))
        return headers

    def _parsed(self, request: _Request, answer: bytes) -> dict[str, Any]:
        with suppress(orjson.JSONDecodeError):
            if isinstance(parsed := orjson.loads(answer), dict):
                return parsed
        raise no_api_server(f"{request} at {self._config.server}", answer)

    def _refused(self, request: _Request, response: aiohttp.ClientResponse, answer: bytes) -> KleverError:
        error = response_error(response.status, answer, f"{request} at {self._config.server}")
        after = response.headers.get("Retry-After", "")
        if after.isdecimal():
            error.metadata["retry_after"] = after
        return error

    def _unreachable(self, error: aiohttp.ClientError, request: _Request) -> KleverError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            message = f"{self._config.origin} does not trust {self._config.server}: {error}"
            return FailedPreconditionError(message, reason="KUBECONFIG")
        words = str(error) or type(error).__name__
        return UnavailableError(f"{request}: {self._config.server} does not answer: {words}")


def _may_repeat(error: aiohttp.ClientError, request: _Request) -> bool:
    unsent = isinstance(error, aiohttp.ClientConnectorError)
    return not isinstance(error, aiohttp.ClientSSLError) and (unsent or request.method == "GET")


def _cut(response: aiohttp.ClientResponse) -> None:
    """Close a stream's connection at once: a graceful TLS close would outlive the event loop."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
