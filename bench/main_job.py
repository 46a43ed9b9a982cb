"""The main job, of one or more installations: `python bench/main_job.py [BIN…]`.

Each BIN is the `bin` directory of an installation, such as one of an earlier commit; the default is the directory of
this interpreter. The installations take turns, and each figure is the median of the rounds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed
from bench.machine import cpu, kibibytes, processes
from tests.e2e.platform import ADDER, BIN, Platform

ROUNDS, TURNS, SECONDS, CONNECTIONS = 5, 6, 1.0, 8
VERSION = "/api/v1alpha1/projects/team/models/adder/versions/v1"
INFER = "/seldon/default/adder/v2/models/adder/infer"
Figures = dict[str, float]


def wait(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Raise `TimeoutError` unless it is done in time."""
    deadline = time.perf_counter() + seconds
    while not done():
        if time.perf_counter() > deadline:
            raise TimeoutError
        time.sleep(0.01)  # the API tells of a version's signature when it is asked


def has_signature(platform: Platform) -> bool:
    status, answer = platform.http("GET", VERSION)
    return status == 200 and bool(json.loads(answer).get("signature", {}).get("inputs"))


def load(platform: Platform) -> Figures:
    """Keep all connections busy with small inferences."""
    pids = [pid for kind in processes(platform.root).values() for pid in kind]
    seen, before, end = Load(), sum(map(cpu, pids)), time.monotonic() + SECONDS
    asyncio.run(closed(platform.url + INFER, ADDER, CONNECTIONS, lambda: time.monotonic() > end, seen))
    if seen.failed:
        raise RuntimeError(seen.failed[0])
    spent = sum(map(cpu, pids)) - before
    return {
        f"gateway, requests/s at {CONNECTIONS} connections": len(seen.seconds) / SECONDS,
        "gateway, p99 (ms)": seen.quantile(0.99),
        "gateway and runtime, processor time of a request (µs)": 1e6 * spent / len(seen.seconds),
    }


def steps(platform: Platform) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each step up to a Serving that is ready, and the memory of `klever up`."""
    began = time.perf_counter()
    platform.start()
    yield "start of klever up (s)", time.perf_counter() - began
    platform.push("team/warm:v1")  # its files are in the page cache, and the modules of a task as well
    wait(lambda: bool(platform.get("versions", "team/warm:v1").get("signature")))
    began = time.perf_counter()
    platform.push("team/adder:v1")
    pushed = time.perf_counter()
    wait(lambda: has_signature(platform))
    yield "ormb save and push (s)", pushed - began
    yield "from the push to the signature (s)", time.perf_counter() - pushed
    began = time.perf_counter()
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    yield "klever deploy --wait (s)", time.perf_counter() - began
    if platform.process is None:
        raise RuntimeError("klever up has not started")
    for name in ("Rss", "Private_Dirty"):
        yield f"control plane at rest, {name} (MiB)", kibibytes(platform.process.pid, name) / 1024


def measure(platforms: list[Platform]) -> list[Figures]:
    """Return the figures of one round. The platforms take turns under load, so that they meet the same neighbours."""
    try:
        figures = [dict(steps(platform)) for platform in platforms]
        turns = [[load(platform) for platform in platforms] for _ in range(TURNS)][1:]
    finally:
        for platform in platforms:
            platform.clean_up()
    for place, found in enumerate(figures):
        found.update({name: median(turn[place][name] for turn in turns) for name in turns[0][place]})
    return figures


def main() -> None:
    installations = [Path(name).absolute() for name in sys.argv[1:]] or [BIN]
    rounds: list[list[Figures]] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as directory:
            named = enumerate(installations)
            rounds.append(measure([Platform(Path(directory) / str(n), programs=programs) for n, programs in named]))
    print(f"| figure | {' | '.join(map(str, installations))} |\n|---|{'---|' * len(installations)}")
    for name in rounds[0][0]:
        columns = [median(row[place][name] for row in rounds) for place in range(len(installations))]
        print(f"| {name} | {' | '.join(f'{value:.4g}' for value in columns)} |")


if __name__ == "__main__":
    main()
