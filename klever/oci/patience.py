"""Bounds the whole time of an answer.

The timeout of a socket bounds only each wait: a server that sends one byte at a time would hold a caller for hours.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from klever.errors import DeadlineError, InvalidError

__all__ = ["Alarm", "Deadline", "ImpatientAdapter", "read_all"]

_BLOCK: Final = 64 << 10


class Deadline:
    """The deadline of a call, and the timeout of each wait until then; in seconds."""

    def __init__(self, seconds: float, idle: float) -> None:
        self._end = time.monotonic() + seconds
        self._seconds = seconds
        self._idle = idle

    def left(self, what: str) -> float:
        """Return the seconds that the next wait may take. Raises `DeadlineError`."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{what}: not finished within {self._seconds:.0f} s")
        return min(left, self._idle)

    @property
    def rest(self) -> float:
        """The seconds until the end."""
        return self._end - time.monotonic()


class Alarm:
    """Shuts a socket down after so many seconds, unless it is stopped before.

    A context manager that stops it, and turns an error that it caused into `TimeoutError`.
    """

    def __init__(self, seconds: float, sock: socket.socket) -> None:
        self._seconds = seconds
        self._socket = sock
        self._rang = False
        self._timer = threading.Timer(max(0.0, seconds), self._ring)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if isinstance(error, Exception):
            self.check()

    def stop(self) -> None:
        self._timer.cancel()

    def check(self) -> None:
        """Raise `TimeoutError` if it shut the socket down: what was read since then looks like the end of an answer."""
        if self._rang:
            raise TimeoutError(f"not finished within {self._seconds:.0f} s")

    def _ring(self) -> None:
        self._rang = True
        with suppress(OSError):  # closed meanwhile
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would wait for the other side


class _Connection(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        return _in_time(self, super().getresponse)


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        return _in_time(self, super().getresponse)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class ImpatientAdapter(HTTPAdapter):
    """The timeout of a request bounds the whole head of its answer. Its reader bounds the body."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def read_all(answer: requests.Response, most: int, deadline: Deadline, what: str) -> bytes:
    """Return the body of a streamed answer. Raises `InvalidError` if it is larger, `DeadlineError` if it is late."""
    body = bytearray()
    while block := answer.raw.read1(_BLOCK, decode_content=True):
        deadline.left(what)
        body += block
        if len(body) > most:
            raise InvalidError(f"{what}: the response is larger than {most} bytes")
    return bytes(body)


def _in_time(connection: HTTPConnection, receive: Callable[[], HTTPResponse]) -> HTTPResponse:
    timeout = connection.timeout
    seconds = float(timeout) if isinstance(timeout, int | float) else threading.TIMEOUT_MAX
    with Alarm(seconds, connection.sock) as alarm:
        answer = receive()
        try:
            alarm.check()
        except TimeoutError:
            answer.close()
            raise
        return answer
