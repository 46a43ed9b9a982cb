"""Connections to one API server, and the TLS they speak."""

from __future__ import annotations

import logging
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from klever.errors import FailedPreconditionError
from klever.kube.config import KubeConfig
from klever.kube.credentials import Credentials

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
        """Close it once nobody uses it any more."""
        self.retired = True
        if not self.users:
            await self.client.close()


class Sessions:
    """Calls and watches have connections of their own, so that neither starves the other.

    A new client certificate takes new ones; what was begun with the old ends with it.
    """

    def __init__(self, config: KubeConfig, connections: int) -> None:
        self._config = config
        self._connections = connections
        self._offered: tuple[bytes, bytes] = (b"", b"")
        self._current: tuple[_Session, _Session] | None = None

    async def close(self) -> None:
        for session in self._current or ():
            await session.client.close()
        self._current = None

    @asynccontextmanager
    async def use(self, credentials: Credentials, *, watch: bool) -> AsyncIterator[aiohttp.ClientSession]:
        """Raises `FailedPreconditionError` for certificates that are none."""
        session = (await self._opened(credentials))[watch]
        session.users += 1
        try:
            yield session.client
        finally:
            session.users -= 1
            if session.retired:
                await session.retire()

    async def _opened(self, credentials: Credentials) -> tuple[_Session, _Session]:
        offered = (credentials.certificate, credentials.key)
        if self._current is not None and offered == self._offered:
            return self._current
        try:
            context = _tls(self._config, credentials)
        except FailedPreconditionError as error:
            if self._current is None:
                raise
            # Of the two files one may be new already.
            log.warning("the client certificate stays as it was: %s", error)
            self._offered = offered
            return self._current
        old, opened = self._current, (_session(context, self._connections), _session(context, _WATCHES))
        self._current, self._offered = opened, offered
        for session in old or ():
            await session.retire()
        return opened


def _session(context: ssl.SSLContext, connections: int) -> _Session:
    return _Session(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=context, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )
    )


def _tls(config: KubeConfig, credentials: Credentials) -> ssl.SSLContext:
    field = "certificate-authority"
    try:
        context = ssl.create_default_context(cadata=config.authority.decode() if config.authority else None)
        if config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if credentials.certificate:
            field = "client-certificate or client-key"
            # OpenSSL's binding loads from files alone.
            with tempfile.NamedTemporaryFile() as file:
                file.write(credentials.certificate + b"\n" + credentials.key)
                file.flush()
                context.load_cert_chain(file.name, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise FailedPreconditionError(
            f"{config.origin}: {field} (or its -data) is no certificate in PEM, or no key that belongs to it: {error}",
            reason="KUBECONFIG",
        ) from error
    return context


def _no_password() -> bytes:
    """Nobody is there to be asked for it."""
    return b""
