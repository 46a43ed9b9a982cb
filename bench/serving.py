"""One model per runtime through the gateway, next to other servers: `python bench/serving.py [ROUNDS [NAME...]]`.

For each model: seconds from the end of the push to Ready, the memory of a second Serving of it, requests a second and
their p99 at 8 connections, and the processor time of all servers for a request. Peers answer the same request in turns
with the gateway: MLServer 1.7.1, from an environment in ~/.cache/klever/bench that the first run makes; onnxruntime,
called in a loop of one process; llama.cpp's server without Klever. On a busy machine only ratios within a run hold.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.machine import ROOT, cpu, descendants, kibibytes
from bench.peers import llama, mlserver, onnxruntime
from bench.saturate import Endpoint, Saturation, saturate
from klever.cli.commands.examples import requests_to
from tests.e2e.platform import Platform, until

SECONDS, CONNECTIONS = 1.0, 8
Pids = Callable[[], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Model:
    """A directory below tests/data, and the runtime that serves it."""

    name: str
    path: str
    runtime: str = "triton"


MODELS = (
    Model("onnx", "onnx"),
    Model("sklearn", "serving/sklearn"),
    Model("xgboost", "serving/xgboost"),
    Model("lightgbm", "serving/lightgbm"),
    Model("mlflow", "serving/mlflow"),
    Model("mllib", "serving/mllib"),
    Model("savedmodel", "networks/savedmodel"),
    Model("pmml", "pmml", "openscoring"),
    Model("gguf", "serving/gguf", "llamacpp"),
)


@dataclass(slots=True)
class Way:
    """How a model is asked, and the processes that work for it."""

    name: str
    endpoint: Endpoint
    pids: Pids

    def once(self) -> tuple[float, float, float]:
        """Return requests a second, their p99 in milliseconds, and milliseconds of processor time for each."""
        before = {pid: cpu(pid) for pid in self.pids()}
        slow = 5 if self.endpoint.url.endswith("/completions") else 1
        found: Saturation = saturate(self.endpoint, CONNECTIONS, slow * SECONDS)
        spent = sum(cpu(pid) - before[pid] for pid in before)
        return found.rate, found.milliseconds(99), 1000 * spent / len(found.seconds)


def push(platform: Platform, model: Model) -> None:
    if model.runtime != "llamacpp":
        platform.push(f"team/{model.name}:v1", model.path)
        return
    directory = platform.root / "gguf" / "model"
    directory.mkdir(parents=True)
    weights = gzip.decompress((ROOT / "tests" / "data" / model.path / "one.gguf.gz").read_bytes())
    (directory / "speaker.gguf").write_bytes(weights)
    platform.run("ormb", "save", str(directory.parent), f"team/{model.name}:v1")
    platform.run("ormb", "push", f"team/{model.name}:v1")


def deploy(platform: Platform, model: Model, name: str) -> float:
    """Seconds until a Serving is Ready."""
    begun = time.perf_counter()
    platform.run("klever", "deploy", f"team/{model.name}:v1", "--name", name, "--wait")
    return time.perf_counter() - begun


def remove(platform: Platform, name: str) -> None:
    """Delete a Serving, and wait until its processes have ended."""
    platform.run("klever", "delete", "serving", name)
    until(lambda: not list((platform.data / "processes").glob(f"serving.default.{name}.*")), 60)


def below(platform: Platform) -> list[int]:
    """The gateway and all replicas: every process of the platform but its control plane."""
    assert platform.process is not None
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes() + (directory / "environ").read_bytes()
        except OSError:
            continue
        if str(platform.data).encode() in words and int(directory.name) != platform.process.pid:
            found.append(int(directory.name))
    return found


def memory(pids: Sequence[int]) -> float:
    """MiB, in which shared pages count once."""
    return sum(kibibytes(pid, "Pss") for pid in pids) / 1024


def request(platform: Platform, model: Model) -> bytes:
    """The body that `klever predict --example` sends; a short chat for a language model."""
    shown = platform.run("klever", "predict", model.name, "--example", "--show-request").stderr
    body = json.loads(shown)
    return json.dumps({**body, "temperature": 0} if model.runtime == "llamacpp" else body).encode()


def measure(platform: Platform, model: Model, rounds: int) -> None:
    push(platform, model)
    ready = deploy(platform, model, model.name)
    body = request(platform, model)
    path = requests_to(model.runtime, model.name).infer
    before = memory(below(platform))
    deploy(platform, model, f"{model.name}-second")
    more = memory(below(platform)) - before
    remove(platform, f"{model.name}-second")
    url = f"{platform.url}/seldon/default/{model.name}{path}"
    with ExitStack() as stack:
        ways = [Way("gateway", Endpoint(url, body), lambda: below(platform))]
        for name, start in PEERS.get(model.name, ()):
            pid, endpoint = stack.enter_context(start(platform.root, ROOT / "tests" / "data" / model.path, body))
            ways.append(Way(name, endpoint, partial(descendants, pid)))
        for way in ways:
            way.once()
        runs = [[way.once() for way in ways] for _ in range(rounds)]
    for number, way in enumerate(ways):
        rate, p99, spent = (median(run[number][part] for run in runs) for part in range(3))
        ratio = median(run[0][0] / run[number][0] for run in runs)
        own = f"{ready:.1f} | {more:.0f}" if not number else "- | -"
        print(f"| {model.name} | {way.name} | {own} | {rate:.0f} | {p99:.1f} | {spent:.2f} | {ratio:.2f} |", flush=True)
    remove(platform, model.name)


PEERS = {
    "onnx": (("onnxruntime, no server", onnxruntime),),
    "sklearn": (("MLServer 1.7.1", mlserver),),
    "xgboost": (("MLServer 1.7.1", mlserver),),
    "gguf": (("xllamacpp alone", llama),),
}


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else 9
    chosen = [model for model in MODELS if not sys.argv[2:] or model.name in sys.argv[2:]]
    print("| model | way | push to Ready, s | MiB of a second | req/s | p99 ms | CPU ms a request | gateway / way |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory))
        platform.start()
        try:
            platform.run("klever", "allow-code", "default")
            for model in chosen:
                measure(platform, model, rounds)
        finally:
            platform.clean_up()


if __name__ == "__main__":
    main()
