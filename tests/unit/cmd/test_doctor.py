"""What `klever doctor` says about the port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from klever.cmd.doctor import check_port


@pytest.fixture
def serve() -> Iterator[Callable[[str], int]]:
    """Starts a server with one answer to every request, and returns its port."""
    servers: list[HTTPServer] = []

    def start(answer: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_arguments: object) -> None:
                """Print nothing."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return int(servers[-1].server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_klever_itself_may_hold_the_port(serve: Callable[[str], int]) -> None:
    port = serve('{"version": "1.2.3"}')
    check = check_port(port)
    assert check.ok
    assert check.found.startswith("Klever 1.2.3 runs here")
    assert f"--server http://127.0.0.1:{port}" in check.found
    assert "klever down" in check.found


@pytest.mark.parametrize("answer", ["", "[]", "hello", '{"name": "other"}'])
def test_another_program_on_the_port_is_a_problem(serve: Callable[[str], int], answer: str) -> None:
    check = check_port(serve(answer))
    assert (check.ok, "--port OTHER" in check.advice) == (False, True)
