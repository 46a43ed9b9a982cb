"""A server as a user may bring it: GET / is health, /hang, /crash and /missing its ways to fail."""

import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/hang":
            time.sleep(3600)
        if self.path == "/crash":
            print("out of ideas", flush=True)
            os._exit(3)
        model = Path(os.environ["MODEL_STORE"], os.environ["SERVING_NAME"])
        files = sorted(str(path.name) for path in model.iterdir()) if model.exists() else []
        body = f"{os.environ['SERVING_NAME']} {files} {os.environ.get('GREETING', '')}".encode()
        if self.path == "/missing":
            body = b"nothing here"
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Requests are not worth a line."""


print("started", flush=True)
HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
