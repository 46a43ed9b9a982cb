"""`python serve.py NAME MODEL.toy ADDRESS`: answers the Open Inference Protocol at `unix:PATH` or `HOST:PORT`.

It runs in the environment toy, in a sandbox without network. Nothing of Klever is installed there.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_UNIX

name, path, address = sys.argv[1:]
model = json.loads(Path(path).read_text())
slope, intercept = model["slope"], model["intercept"]
metadata = {
    "name": name,
    "platform": "toy",
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, len(slope)]}],
    "outputs": [{"name": "y", "datatype": "FP64", "shape": [-1]}],
}


def predict(request):
    """Return the answer to an inference request; raises KeyError, TypeError or ValueError for another request."""
    values = request["inputs"][0]["data"]
    if len(values) % len(slope):
        raise ValueError(f"x must have rows of {len(slope)} values")
    rows = [values[start : start + len(slope)] for start in range(0, len(values), len(slope))]
    y = [sum(a * b for a, b in zip(slope, row, strict=True)) + intercept for row in rows]
    return {"model_name": name, "outputs": [{"name": "y", "datatype": "FP64", "shape": [len(y)], "data": y}]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = self.path in ("/v2/health/ready", "/v2/health/live", f"/v2/models/{name}", f"/v2/models/{name}/ready")
        self.answer(200 if known else 404, metadata)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.answer(200, predict(json.loads(body)))
        except (KeyError, TypeError, ValueError) as error:
            self.answer(400, {"error": f"invalid request: {error!r}"})

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "client"  # the peer of a Unix socket has no address


class UnixServer(ThreadingHTTPServer):
    address_family = AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "toy", 0


kind, _, place = address.partition(":")
server = UnixServer(place, Handler) if kind == "unix" else ThreadingHTTPServer((kind, int(place)), Handler)
server.serve_forever()
