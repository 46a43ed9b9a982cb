"""HTTP over a Unix socket, for `http.client` and for requests. The socket replaces the host of the URL."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

__all__ = ["SocketAdapter", "SocketConnection"]


class SocketConnection(http.client.HTTPConnection):
    """A connection to the server that listens on `path`. `timeout` is in seconds."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = _connected(self._path, self.timeout)


class SocketAdapter(HTTPAdapter):
    """Sends requests under the adapter's prefix to the server that listens on `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._pool = _Pool("localhost", path=path)

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, *_args: Any) -> str:
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


class _PooledConnection(HTTPConnection):
    def __init__(self, *args: Any, path: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._path = path

    def connect(self) -> None:
        self.sock = _connected(self._path, self.timeout)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _PooledConnection


def _connected(path: Path, timeout: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(str(path))
    except BaseException:
        sock.close()
        raise
    return sock
