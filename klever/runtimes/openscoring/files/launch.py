"""Runs the server: `ENV/bin/python3 launch.py SETTINGS.json`."""

import json
import os
import signal
import socketserver
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import calls
from bounds import Bounds
from handler import MAX_BYTES, Handler
from models import Models


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    settings = json.loads(Path(sys.argv[1]).read_text())
    models = Models(pinned=settings["name"], deploy=settings["deploy"], bounds=Bounds(settings["limits"]))
    models.put(settings["name"], Path(settings["model"]).read_bytes())
    host, _, port = settings["http"].rpartition(":")
    server = Unix(port, Handler) if host == "unix" else Tcp((host, int(port)), Handler)
    server.models = models
    calling = calls.serve(models, settings["grpc"], MAX_BYTES)  # kept: without a reference it would stop
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    calling.stop(None)
    os._exit(0)  # Java's threads would keep the process alive


main()
