"""Other servers of the same models, for `bench/serving.py`. Each yields its pid and where it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import free_port, until_open
from bench.saturate import Endpoint

__all__ = ["llama", "mlserver", "onnxruntime"]

CACHE = Path.home() / ".cache" / "klever"
PACKAGES = ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "mlserver-xgboost==1.7.1")
RUNTIMES = {"sklearn": "mlserver_sklearn.SKLearnModel", "xgboost": "mlserver_xgboost.XGBoostModel"}
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": str(Path.home()), "OMP_NUM_THREADS": "1"}
"""One thread for each inference, as the replicas of Klever have."""
Started = Iterator[tuple[int, Endpoint]]

LOOP = """
import json, socket, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
listening = socket.create_server(("127.0.0.1", int(sys.argv[2])))
import selectors
chosen = selectors.DefaultSelector()
chosen.register(listening, selectors.EVENT_READ)
while True:
    for key, _ in chosen.select():
        if key.fileobj is listening:
            chosen.register(listening.accept()[0], selectors.EVENT_READ)
            continue
        try:
            head, _, body = key.fileobj.recv(1 << 16).partition(b"\\r\\n\\r\\n")
        except ConnectionError:
            head = b""
        if not head:
            chosen.unregister(key.fileobj)
            key.fileobj.close()
            continue
        inputs = {t["name"]: numpy.array(t["data"], "float32").reshape(t["shape"]) for t in json.loads(body)["inputs"]}
        found = json.dumps([array.tolist() for array in session.run(None, inputs)]).encode()
        key.fileobj.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(found) + found)
"""
"""The least that a server of one process needs: no HTTP beyond what the load sends, JSON, and one inference."""
LLAMA = """
import signal, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = sys.argv[1], int(sys.argv[2]), ["127.0.0.1"]
params.n_parallel, params.n_threads_http = 4, 64
server = xllamacpp.Server(params)
signal.pause()
"""


@contextmanager
def _started(arguments: list[str], port: int, endpoint: Endpoint, directory: Path) -> Started:
    with (directory / f"peer-{port}.log").open("w") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=directory, env=ENVIRONMENT)
        try:
            until_open(port)
            yield process.pid, endpoint
        finally:
            process.terminate()
            process.wait()


def _environment(name: str) -> Path:
    """The Python of an environment that Klever has installed."""
    (python, *_) = sorted((CACHE / "environments" / name).glob("*/bin/python3"))
    return python


@contextmanager
def onnxruntime(directory: Path, model: Path, body: bytes) -> Started:
    port = free_port()
    (file,) = (model / "model").glob("*.onnx")
    endpoint = Endpoint(f"http://127.0.0.1:{port}/", body)
    with _started([str(_environment("triton")), "-c", LOOP, str(file), str(port)], port, endpoint, directory) as found:
        yield found


@contextmanager
def llama(directory: Path, _model: Path, body: bytes) -> Started:
    port = free_port()
    file = directory / "gguf" / "model" / "speaker.gguf"
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1/chat/completions", body)
    with _started(
        [str(_environment("llamacpp")), "-c", LLAMA, str(file), str(port)], port, endpoint, directory
    ) as found:
        yield found


@contextmanager
def mlserver(directory: Path, model: Path, body: bytes) -> Started:
    """MLServer without its pool of workers, which is faster for one small model."""
    http, grpc, metrics = free_port(), free_port(), free_port()
    own = directory / f"mlserver-{http}"
    own.mkdir()
    (file,) = (model / "model").iterdir()
    uri = own / f"model{'.json' if file.suffix == '.xgboost' else file.suffix}"
    uri.write_bytes(file.read_bytes())
    settings = {"name": "m", "implementation": RUNTIMES[model.name], "parameters": {"uri": str(uri), "version": "1"}}
    (own / "model-settings.json").write_text(json.dumps(settings))
    server = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0, "debug": False}
    (own / "settings.json").write_text(json.dumps({**server, "host": "127.0.0.1"}))
    endpoint = Endpoint(f"http://127.0.0.1:{http}/v2/models/m/versions/1/infer", body)
    with _started([str(_mlserver()), "start", str(own)], http, endpoint, own) as found:
        yield found


def _mlserver() -> Path:
    """The program `mlserver`, installed on first use."""
    directory = CACHE / "bench" / "mlserver"
    program = directory / "bin" / "mlserver"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True, timeout=300)
        install = (str(directory / "bin" / "python"), "-m", "pip", "install", "-q", *PACKAGES)
        subprocess.run(install, check=True, timeout=1800)
    return program
