"""Connections to one API server, and their TLS."""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from klever.errors import FailedPreconditionError
from klever.kube.config import Credentials, KubeConfig

__all__ = ["Sessions"]

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
_WATCHES = 1000


@dataclass(slots=True)
class _Session:
    client: aiohttp.ClientSession
    users: int = 0
    retired: bool = False

    async def retire(self) -> None:
        """Close it once it is unused."""
        self.retired = True
        if not self.users:
            await self.client.close()


class Sessions:
    """Calls and watches have separate connections, so that neither starves the other.

    A new client certificate opens new connections. Requests on the old ones may finish.
    """

    def __init__(self, config: KubeConfig, connections: int) -> None:
        self._config = config
        self._connections = connections
        self._offered: tuple[bytes, bytes] = (b"", b"")
        self._current: tuple[_Session, ...] = ()

    async def close(self) -> None:
        for session in self._current:
            await session.client.close()
        self._current = ()

    @asynccontextmanager
    async def use(self, credentials: Credentials, *, watch: bool) -> AsyncIterator[aiohttp.ClientSession]:
        """Open the sessions. Raises `FailedPreconditionError` for an invalid certificate."""
        session = (await self._opened(credentials))[watch]
        session.users += 1
        try:
            yield session.client
        finally:
            session.users -= 1
            if session.retired:
                await session.retire()

    async def _opened(self, credentials: Credentials) -> tuple[_Session, ...]:
        offered = (credentials.certificate, credentials.key)
        if self._current and offered == self._offered:
            return self._current
        try:
            context = _tls(self._config, credentials)
        except FailedPreconditionError as error:
            if not self._current:
                raise
            # Only one of the two files may have been replaced so far.
            log.warning("keeping the old client certificate: %s", error)
            self._offered = offered
            return self._current
        old, self._offered = self._current, offered
        self._current = tuple(_session(context, limit) for limit in (self._connections, _WATCHES))
        for session in old:
            await session.retire()
        return self._current


def _session(context: ssl.SSLContext, connections: int) -> _Session:
    connector = aiohttp.TCPConnector(limit=connections, ssl=context, ttl_dns_cache=60)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    return _Session(aiohttp.ClientSession(connector=connector, timeout=timeout))


def _tls(config: KubeConfig, credentials: Credentials) -> ssl.SSLContext:
    field = "certificate-authority"
    try:
        context = ssl.create_default_context(cadata=config.authority.decode() if config.authority else None)
        if config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate or credentials.key:
            field = "client-certificate or client-key"
            # The ssl module can only load files.
            with tempfile.NamedTemporaryFile() as file:
                file.write(credentials.certificate + b"\n" + credentials.key)
                file.flush()
                context.load_cert_chain(file.name, password=bytes)  # fails for an encrypted key
    except (ssl.SSLError, ValueError) as error:
        message = f"{config.origin}: {field} (or its -data) must be a certificate in PEM with its key: {error}"
        raise FailedPreconditionError(message, reason="KUBECONFIG") from error
    return context
