"""Probes the health of a replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp

from klever.backends.local.ports import address_beyond_loopback
from klever.runtimes import Probe, unix_path

__all__ = ["Health", "Prober"]

_MAX_ANSWER: Final = 64 << 10
_MAX_READ: Final = 512 << 20
"""The largest response in bytes. An endless one would keep the event loop busy until the deadline."""
_CHUNK: Final = 256 << 10
_ZEROS: Final = bytes(64 << 10)


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a probe. `message` says why the replica is unhealthy, or how it refused the probe's values.

    `seconds` is the response time.
    """

    healthy: bool
    message: str
    seconds: float


class Prober:
    """Sends probes. Each connection ends with its response, because a stopping server waits for open connections.

    Unless `exposed`, a server at a port of loopback must not listen beyond it, where the gateway does not protect it.
    """

    def __init__(self, *, exposed: bool = False) -> None:
        self._exposed = exposed

    async def ask(self, address: str, probe: Probe, *, timeout_s: float) -> Health:
        """Probe the server at `HOST:PORT` or `unix:PATH`. A failure is an unhealthy result, never an exception."""
        address = probe.address or address
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            if not (self._exposed or unix_path(address)):
                await _check_listener(int(address.rpartition(":")[2]))
                began = clock()  # excludes Klever's own work
            async with asyncio.timeout(timeout_s):
                message = await (self._request(address, probe) if probe.path else _connect(address))
            return Health(healthy=True, message=message, seconds=clock() - began)
        except TimeoutError:
            reason = f"no answer within {timeout_s:g} s"
        except (aiohttp.ClientError, OSError, _UnhealthyError) as error:
            reason = str(error) or type(error).__name__
        return Health(healthy=False, message=reason, seconds=clock() - began)

    async def _request(self, address: str, probe: Probe) -> str:
        host = "localhost" if unix_path(address) else address
        size = len(probe.body) + probe.zeros
        headers = {**probe.headers, "Content-Length": str(size)} if size else probe.headers
        async with (
            _session(address) as session,
            session.request(
                probe.method,
                f"http://{host}{probe.path}",
                data=_body(probe) if size else None,
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            answer, read = bytearray(), 0
            async for chunk in response.content.iter_chunked(_CHUNK):
                answer += chunk[: _MAX_ANSWER - len(answer)]
                read += len(chunk)
                if read > _MAX_READ:
                    raise _UnhealthyError(f"the answer from {probe.path} exceeds {_MAX_READ >> 20} MiB")
            if 200 <= response.status < 300:
                return ""
            text = answer.decode(errors="replace").strip()
            if any(error in answer for error in probe.own_errors):
                return text
            raise _UnhealthyError(f"HTTP {response.status} from {probe.path}: {text[:500]}")


def _session(address: str) -> aiohttp.ClientSession:
    """Return a session for one request."""
    connector = aiohttp.UnixConnector(path) if (path := unix_path(address)) else aiohttp.TCPConnector()
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))


async def _check_listener(port: int) -> None:
    if found := await asyncio.to_thread(address_beyond_loopback, port):
        raise _UnhealthyError(f"the command listens on {found}:{port}, beyond loopback: it must listen on $HOST:$PORT")


async def _body(probe: Probe) -> AsyncIterator[bytes]:
    yield probe.body
    for start in range(0, probe.zeros, len(_ZEROS)):
        yield _ZEROS[: probe.zeros - start]


class _UnhealthyError(Exception):
    """The replica is unhealthy. The message says why."""


async def _connect(address: str) -> str:
    if path := unix_path(address):
        _, writer = await asyncio.open_unix_connection(path)
    else:
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()
    return ""
