"""The gateway at saturation: `python bench/gateway.py [ROUNDS]`.

One Triton answers four ways in turns: through the gateway, through a bare Envoy with one fixed route and the guard's
filters, through one without the guard, and directly. On a busy machine only the ratios within one run hold, and the
processor time of Envoy for each request: rounds of all four follow each other, and each figure is a median.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.envoys import bare_envoy
from bench.machine import cpu, processes
from bench.saturate import Endpoint, saturate
from tests.e2e.inference import served
from tests.e2e.platform import ADDER, Platform

SECONDS = 1.0
PATH = "/v2/models/adder/infer"


@dataclass(frozen=True, slots=True)
class Way:
    name: str
    endpoint: Endpoint
    envoy: int = 0
    """The pid of the Envoy between; 0 for none."""


@dataclass(frozen=True, slots=True)
class Measured:
    rate: float
    p99: float
    spent: float
    """Microseconds of Envoy's processor time for a request."""


def measured(way: Way, connections: int) -> Measured:
    before = cpu(way.envoy) if way.envoy else 0.0
    found = saturate(way.endpoint, connections, SECONDS)
    spent = 1e6 * (cpu(way.envoy) - before) / len(found.seconds) if way.envoy else 0.0
    return Measured(found.rate, found.milliseconds(99), spent)


def compare(ways: list[Way], connections: int, rounds: int) -> None:
    print(f"\n{connections} connections, {rounds} rounds of {SECONDS:g} s each\n")
    print("| way | req/s | p99 ms | Envoy, µs of CPU a request | of a bare Envoy with the guard | of direct |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        measured(way, connections)
    runs = [[measured(way, connections) for way in ways] for _ in range(rounds)]
    for number, way in enumerate(ways):
        own = [run[number] for run in runs]
        to_bare, to_direct = (median(run[number].rate / run[other].rate for run in runs) for other in (1, 3))
        print(
            f"| {way.name} | {median(m.rate for m in own):.0f} | {median(m.p99 for m in own):.1f} "
            f"| {median(m.spent for m in own):.0f} | {to_bare:.2f} | {to_direct:.2f} |",
            flush=True,
        )


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else 15
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        platform = Platform(Path(directory))
        stack.callback(platform.clean_up)
        platform.start()
        served(platform)
        published = json.loads((platform.data / "envoy" / "published.json").read_bytes())
        triton = published[0]["targets"][0]["http"][0].removeprefix("unix:")
        (envoy,) = processes(platform.root)["Envoy"]
        body = json.dumps(ADDER).encode()
        ways = [Way("gateway", Endpoint(f"{platform.url}/seldon/default/adder{PATH}", body), envoy)]
        for name, guard in (("bare Envoy with the guard", True), ("bare Envoy", False)):
            pid, port = stack.enter_context(bare_envoy(platform.root, triton, guard=guard))
            ways.append(Way(name, Endpoint(f"http://127.0.0.1:{port}{PATH}", body), pid))
        ways.append(Way("Triton directly", Endpoint(f"http://localhost{PATH}", body, triton)))
        for connections in (8, 64):
            compare(ways, connections, rounds)


if __name__ == "__main__":
    main()
