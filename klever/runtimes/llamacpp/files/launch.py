"""Runs llama.cpp's HTTP server: `ENV/bin/python3 launch.py SETTINGS.json`.

It also answers GET /metrics at a separate address, because llama.cpp answers only as many requests at a time as it has
threads, and health checks must not wait for inferences.
"""

import json
import os
import signal
import socketserver
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import xllamacpp

THREADS = 64
"""How many requests are open at a time, whether they are computed or waiting."""
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    server = xllamacpp.Server(parameters(settings))
    serve_metrics(server, settings["metrics"])
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)  # the destructor would wait for connections that clients keep open


def parameters(settings):
    known = metadata(settings["model"])
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["name"]}
    host, port = endpoint(settings["http"])
    params.hostnames = [host]
    params.port = port or 1  # llama.cpp also needs a port with a Unix socket
    params.api_prefix = "/openai"
    params.n_threads_http = THREADS
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    params.offline = True
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cpuparams.n_threads = settings["threads"] or len(os.sched_getaffinity(0))
    params.n_parallel = settings["parallel"]
    params.n_ctx = settings["parallel"] * min(settings["context_length"], known.get("context_length", 1 << 30))
    # It would cache the state of prompts, up to 8 GiB.
    params.cache_ram_mib = 0
    params.embedding = True
    if "pooling_type" not in known:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def metadata(path):
    """The model's scalars by name, without the prefix of its architecture. Source: ggml's docs/gguf.md."""
    with Path(path).open("rb") as file:
        _, _, _, count = struct.unpack("<4sIQQ", file.read(24))
        pairs = [(text(file), value(file, number(file, "I"))) for _ in range(count)]
    return {name.partition(".")[2]: found for name, found in pairs if found is not None}


def value(file, kind):
    """Read a value; None if it is not a number."""
    if kind in SCALARS:
        return number(file, SCALARS[kind])
    if kind == STRING:
        text(file)
    elif kind == ARRAY:
        item, size = number(file, "I"), number(file, "Q")
        for _ in range(size):
            value(file, item)
    else:
        raise ValueError(f"the model has metadata of the unknown type {kind}")
    return None


def number(file, code):
    (found,) = struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))
    return found


def text(file):
    return file.read(number(file, "Q")).decode(errors="replace")


def serve_metrics(server, address):
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self):
            body = server.handle_metrics().encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Do not log scrapes."""

    host, port = endpoint(address)
    if port:
        listening = socketserver.ThreadingTCPServer((host, port), Handler)
    else:
        listening = socketserver.ThreadingUnixStreamServer(host, Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()


def endpoint(address):
    """Host and port of `HOST:PORT`, path and 0 of `unix:PATH`."""
    host, _, port = address.rpartition(":")
    return (port, 0) if host == "unix" else (host, int(port))


main()
