"""A load at saturation over kept connections. It costs the machine a tenth of what the server costs.

Each connection sends a request, reads the answer, and sends the next one; nothing but the length of answers is read.
"""

from __future__ import annotations

import json
import select
import socket
import time
from dataclasses import dataclass, field
from statistics import quantiles
from urllib.parse import urlsplit

__all__ = ["Endpoint", "Saturation", "saturate"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is asked: a URL, at the Unix socket `path` if there is one; the body; further header lines."""

    url: str
    body: bytes
    path: str = ""
    headers: str = "Content-Type: application/json\r\n"

    def connect(self) -> socket.socket:
        parts = urlsplit(self.url)
        if self.path:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.path)
            return connection
        return socket.create_connection((str(parts.hostname), int(parts.port or 80)))

    @property
    def request(self) -> bytes:
        parts = urlsplit(self.url)
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{self.headers}"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


@dataclass(slots=True)
class Saturation:
    """Seconds of each request, and how long all took."""

    seconds: list[float] = field(default_factory=list)
    lasted: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.lasted

    def milliseconds(self, percent: int) -> float:
        return 1000 * quantiles(self.seconds, n=100)[percent - 1]


class _Connection:
    def __init__(self, endpoint: Endpoint) -> None:
        self.socket = endpoint.connect()
        self.sent = 0.0
        self._request = endpoint.request
        self._head = b""
        self._missing = 0

    def ask(self) -> None:
        self.sent = time.perf_counter()
        self.socket.sendall(self._request)

    def answered(self) -> bool:
        """Read what is there; return whether the answer is complete. Raises `RuntimeError` for one that is not 200."""
        content = self.socket.recv(1 << 16)
        if not content:
            raise RuntimeError("the server closed the connection")
        if not self._missing:
            self._head += content
            if b"\r\n\r\n" not in self._head:
                return False
            head, _, content = self._head.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{head!r} {content[:500]!r}")
            self._missing = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self._head = b""
        self._missing -= len(content)
        return self._missing == 0


def saturate(endpoint: Endpoint, connections: int, seconds: float) -> Saturation:
    """Keep `connections` busy for a while. Raises `RuntimeError` if a request fails."""
    found, poll = Saturation(), select.epoll()
    asked = [_Connection(endpoint) for _ in range(connections)]
    by_number = {connection.socket.fileno(): connection for connection in asked}
    try:
        for number, connection in by_number.items():
            poll.register(number, select.EPOLLIN)
            connection.ask()
        begun = time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            for number, _ in poll.poll(1):
                connection = by_number[number]
                if connection.answered():
                    found.seconds.append(time.perf_counter() - connection.sent)
                    connection.ask()
        found.lasted = now - begun
    finally:
        for connection in asked:
            connection.socket.close()
        poll.close()
    return found


def request(inputs: list[dict[str, object]]) -> bytes:
    """Return a request of the Open Inference Protocol."""
    return json.dumps({"inputs": inputs}).encode()
