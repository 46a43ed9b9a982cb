"""A load of inference requests over kept connections, for the benchmarks beside it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Load", "closed", "open_loop", "pixels"]

_ANSWER_SECONDS = 30.0


@dataclass
class Load:
    """The results: the seconds of each successful request, and the responses of failed ones."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    heard: Callable[[bytes], None] = lambda _: None

    def quantile(self, share: float) -> float:
        """In milliseconds."""
        return sorted(self.seconds)[int(len(self.seconds) * share)] * 1000


class Connection:
    """A kept connection to `http://HOST:PORT/PATH`, or to `http://HOST/PATH` at the Unix socket `socket`."""

    def __init__(self, url: str, body: bytes, headers: str = "", socket: str = "") -> None:
        parts = urlsplit(url)
        self._socket = socket
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._request = f"{head}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = (
                await asyncio.open_unix_connection(self._socket)
                if self._socket
                else await asyncio.open_connection(self._host, self._port)
            )
        reader, writer = self._streams
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(head.split(b" ", 2)[1]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _once(connection: Connection, load: Load, since: float) -> None:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            status, answer = await connection.ask()
    except (OSError, asyncio.IncompleteReadError) as error:  # a timeout is an OSError
        connection.close()
        load.failed.append(repr(error))
        return
    if status == 200:
        load.seconds.append(time.perf_counter() - since)
        load.heard(answer)
    else:
        load.failed.append(f"{status} {answer[:200]!r}")


async def open_loop(url: str, request: object, rate: float, seconds: float, load: Load) -> None:
    """Send `rate` requests a second whatever comes back; each is timed from when it was due."""
    body = json.dumps(request).encode()
    idle: list[Connection] = []
    running: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        connection = idle.pop() if idle else Connection(url, body)
        await _once(connection, load, due)
        idle.append(connection)

    begun = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    for connection in idle:
        connection.close()


async def closed(
    url: str,
    request: object,
    connections: int,
    stop: Callable[[], bool],
    load: Load,
    *,
    headers: str = "",
    socket: str = "",
    pause: float = 0.0,
) -> None:
    """Keep `connections` busy until `stop`. A request of bytes is sent as it is; `headers` are further lines.

    The connections are to the Unix socket `socket`, if it is given. Each pauses for `pause` seconds after an answer.
    """
    body = request if isinstance(request, bytes) else json.dumps(request).encode()

    async def one() -> None:
        connection = Connection(url, body, headers, socket)
        while not stop():
            await _once(connection, load, time.perf_counter())
            await asyncio.sleep(pause)
        connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))


def pixels() -> dict[str, object]:
    """Return a request to the models of `examples/digits`."""
    return {
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [float(n % 16) for n in range(64)]}]
    }
