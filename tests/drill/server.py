"""The command of a drill's replicas: answers every request with the version of its model."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = (Path(os.environ["MODEL_STORE"]) / os.environ["SERVING_NAME"] / "version.txt").read_bytes()


class Handler(BaseHTTPRequestHandler):
    wbufsize = 1 << 16  # one write for head and body: a kill in between would cut an answer that no proxy can repeat
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(VERSION)))
        self.end_headers()
        self.wfile.write(VERSION)

    def log_message(self, *_: object) -> None:
        """Log nothing: the load is constant."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
