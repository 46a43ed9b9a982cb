"""A registry that sends one byte at a time holds nobody for longer than the deadline of a call."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from klever.errors import DeadlineError, UnauthenticatedError, UnavailableError
from klever.oci import auth, provider, transfer
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.layout import Layout
from klever.oci.manifest import Descriptor
from klever.oci.mediatypes import OCTET_STREAM
from klever.oci.registries import Credentials, Endpoint

HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = HEAD + b"Content-Length: 1000000\r\n\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n"
LONGEST = 20.0
"""The server stops after so many seconds, so that a test of an endless call ends."""


class Trickle(socketserver.ThreadingTCPServer):
    """Answers with `start`, and then with a byte every 20 ms. `challenge` answers the first request instead."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.start = b""
        self.challenge = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.BaseRequestHandler):
    server: Trickle
    request: socket.socket

    def handle(self) -> None:
        self.request.recv(65536)
        challenge, self.server.challenge = self.server.challenge, b""
        end = time.monotonic() + LONGEST
        with contextlib.suppress(OSError):
            self.request.sendall(challenge or self.server.start)
            while not challenge and time.monotonic() < end:
                self.request.sendall(b"x")
                time.sleep(0.02)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trickle]:
    monkeypatch.setattr(provider, "_CALL_SECONDS", 0.5)
    monkeypatch.setattr(auth, "_TOKEN_SECONDS", 0.5)
    monkeypatch.setattr(transfer, "_SLOWEST", 1e9)
    monkeypatch.setattr(transfer, "_RETRIES", 0)
    with Trickle() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def client(registry: Trickle, credentials: Credentials | None = None) -> RegistryClient:
    return RegistryClient(Endpoint("registry", registry.url, credentials), timeout=0.5)


def seconds(call: Callable[[], object], *errors: type[Exception]) -> float:
    began = time.monotonic()
    with pytest.raises(errors):
        call()
    return time.monotonic() - began


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"X: ", BODY, CHUNKS])
def test_a_manifest(registry: Trickle, start: bytes) -> None:
    registry.start = start
    assert seconds(lambda: client(registry).get_manifest("p/m", "v1"), DeadlineError, UnavailableError) < LONGEST / 2


@pytest.mark.parametrize("start", [HEAD, BODY, CHUNKS])
def test_a_blob(registry: Trickle, start: bytes, tmp_path: Path) -> None:
    registry.start = start
    blob = Descriptor(OCTET_STREAM, Digest.of(b""), 1_000_000)
    layout = Layout(tmp_path)

    def pull() -> None:
        with layout.writer(expected=blob.digest, size=blob.size) as writer:
            client(registry).get_blob("p/m", blob, writer)

    assert seconds(pull, DeadlineError, UnavailableError) < LONGEST / 2


@pytest.mark.parametrize("start", [HEAD, BODY])
def test_a_token(registry: Trickle, start: bytes) -> None:
    challenge = f'Bearer realm="{registry.url}/token",service="x"'
    head = "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 0\r\n"
    registry.challenge = f"{head}WWW-Authenticate: {challenge}\r\n\r\n".encode()
    registry.start = start
    errors = DeadlineError, UnauthenticatedError, UnavailableError
    assert seconds(lambda: client(registry).get_manifest("p/m", "v1"), *errors) < LONGEST / 2
