"""What the sandbox costs a replica: `python bench/sandbox.py`.

The local backend runs the same model at each level that this machine offers. Levels take turns, so that whatever else
the machine does meets all of them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

sys.path.pop(0)  # this directory, whose grpc.py is not the library
sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed
from bench.machine import cpu, kibibytes
from klever.backends import Instance, ServingKey
from klever.cmd.programs import bubblewraps
from klever.formats import Trust
from klever.process import Confinement
from klever.process.sandbox import Level
from klever.process.sandbox.choose import available
from klever.runtimes import unix_path
from tests.contract.backend import KEY, until_ready, workload
from tests.unit.backends.local.machine import Machine, adder, infer

STARTS, ROUNDS, SECONDS, CONNECTIONS = 10, 40, 1.0, 8
REQUEST = {
    "inputs": [
        {"name": name, "shape": [1, 5], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0, 5.0]} for name in ("X", "Y")
    ]
}


@dataclass
class Cost:
    """Measurements of one level: seconds to the first inference, requests a second, CPU seconds a request, KiB."""

    starts: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    pss: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def serving(confinement: Confinement) -> AsyncIterator[tuple[Machine, Instance, float]]:
    """Run a replica; yields it, and the seconds to its first inference."""
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory), confinement=confinement)
        Path(directory).chmod(0o755)  # noqa: ASYNC240 - nothing else runs
        backend = await machine.backend()
        try:
            began = time.perf_counter()
            await backend.ensure(workload(replace(adder(), trust=Trust.DATA)))
            (instance,) = await until_ready(backend, 1)
            await infer(instance, [1.0] * 5)
            yield machine, instance, time.perf_counter() - began
        finally:
            await machine.close()


def group(machine: Machine, instance: Instance, key: ServingKey = KEY) -> dict[str, list[int]]:
    """The pids of the replica's processes by program, the sandbox's own included."""
    found: dict[str, list[int]] = {}
    for pid in _below(machine.pid(instance, key)):
        found.setdefault(Path(f"/proc/{pid}/comm").read_text().strip(), []).append(pid)
    return found


def _below(pid: int) -> Iterator[int]:
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in thread.read_text().split():
            yield from _below(int(child))


async def measure_rate(machine: Machine, instance: Instance, cost: Cost) -> None:
    pids = [pid for found in group(machine, instance).values() for pid in found]
    load, before = Load(), sum(map(cpu, pids))
    end = time.monotonic() + SECONDS
    url, socket = "http://localhost/v2/models/adder/infer", unix_path(instance.http)
    await closed(url, REQUEST, CONNECTIONS, lambda: time.monotonic() > end, load, socket=socket)
    assert not load.failed, load.failed[0]
    cost.rates.append(len(load.seconds) / SECONDS)
    cost.cpu.append((sum(map(cpu, pids)) - before) / len(load.seconds))


async def measure(confinements: dict[Level, Confinement]) -> dict[Level, Cost]:
    costs = {level: Cost() for level in confinements}
    for _ in range(STARTS):
        for level, confinement in confinements.items():
            async with serving(confinement) as (_, _, seconds):
                costs[level].starts.append(seconds)
    async with AsyncExitStack() as stack:
        running = {}
        for level, confinement in confinements.items():
            running[level] = await stack.enter_async_context(serving(confinement))
        for _ in range(ROUNDS):
            for level, (machine, instance, _) in running.items():
                await measure_rate(machine, instance, costs[level])
        for level, (machine, instance, _) in running.items():
            processes = group(machine, instance).items()
            costs[level].pss = {name: sum(kibibytes(pid, "Pss") for pid in pids) for name, pids in processes}
    return costs


def rows(costs: dict[Level, Cost]) -> Iterator[tuple[str, ...]]:
    bare = costs[Level.NONE]
    yield ("figure", *(str(level) for level in costs), "goal")
    yield ("---",) * (len(costs) + 2)
    starts = {level: median(cost.starts) * 1000 for level, cost in costs.items()}
    yield ("start to first inference, median of 10 (ms)", *(f"{ms:.0f}" for ms in starts.values()), "")
    fastest = (f"{min(cost.starts) * 1000:.0f}" for cost in costs.values())
    yield ("start to first inference, fastest (ms)", *fastest, "")
    added = (median(a - b for a, b in zip(cost.starts, bare.starts, strict=True)) for cost in costs.values())
    yield ("added to the start, median of pairs (ms)", *(f"{1000 * seconds:+.0f}" for seconds in added), "< 30")
    yield (f"requests/s at {CONNECTIONS} connections", *(f"{median(cost.rates):.0f}" for cost in costs.values()), "")
    ratios = (median(a / b for a, b in zip(cost.rates, bare.rates, strict=True)) for cost in costs.values())
    yield ("throughput, median of pairs", *(f"{(ratio - 1) * 100:+.1f} %" for ratio in ratios), "within 3 %")
    yield ("CPU a request (µs)", *(f"{median(cost.cpu) * 1e6:.0f}" for cost in costs.values()), "")
    yield ("PSS of the replica (MiB)", *(f"{sum(cost.pss.values()) / 1024:.1f}" for cost in costs.values()), "")
    wrapped = (sum(kib for name, kib in cost.pss.items() if name == "bwrap") / 1024 for cost in costs.values())
    yield ("PSS of the sandbox's own processes (MiB)", *(f"{mib:.2f}" for mib in wrapped), "< 3")


def main() -> None:
    confinements = {confinement.level: confinement for confinement in available(bubblewraps())}
    for row in rows(asyncio.run(measure(confinements))):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
