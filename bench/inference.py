"""Inference through the gateway against Triton itself: `python bench/inference.py`.

A real `klever up` with one replica; the same client asks both in turn. Also: starting, deploying, memory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed, open_loop
from tests.e2e.platform import Platform

ROOT = Path(__file__).resolve().parents[1]
RATE, SECONDS, ROUNDS, CONNECTIONS = 500.0, 4.0, 7, 8
TICKS = os.sysconf("SC_CLK_TCK")
Row = tuple[str, str, str]


def processes(root: Path) -> dict[str, list[int]]:
    """The pids below a data directory, by what they are."""
    found: dict[str, list[int]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().split(b"\0")
            said = b" ".join(command) + (directory / "environ").read_bytes()
        except OSError:
            continue
        name = Path(os.fsdecode(command[0])).name
        kind = {"envoy": "Envoy", "tritonserver": "Triton", "triton_python_backend_stub": "stub"}.get(name)
        if str(root).encode() in said and kind:
            found.setdefault(kind, []).append(int(directory.name))
    return found


def cpu(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def kibibytes(pid: int, what: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition(f"{what}:")[2].split()[0])


def direct_port(pid: int) -> int:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return int(next(w for w in words if w.startswith(b"--http-port=")).partition(b"=")[2])


def pixels() -> dict[str, object]:
    return {
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [float(n % 16) for n in range(64)]}]
    }


async def at_rate(urls: tuple[str, str]) -> list[Row]:
    """The median over rounds of what the gateway adds."""
    p50, p99, direct = [], [], []
    for _ in range(ROUNDS):
        loads = []
        for url in urls:
            load = Load()
            await open_loop(url, pixels(), RATE, SECONDS, load)
            assert not load.failed, load.failed[0]
            loads.append(load)
        direct.append(loads[1].quantile(0.5))
        p50.append(loads[0].quantile(0.5) - loads[1].quantile(0.5))
        p99.append(loads[0].quantile(0.99) - loads[1].quantile(0.99))
    return [
        (f"Triton directly at {RATE:.0f} req/s, p50", f"{median(direct):.2f} ms", ""),
        ("added by the gateway, p50", f"{median(p50):.2f} ms", "< 1 ms"),
        ("added by the gateway, p99", f"{median(p99):.2f} ms", "< 5 ms"),
    ]


async def saturated(urls: tuple[str, str], pids: dict[str, list[int]]) -> list[Row]:
    rows: list[Row] = []
    rates = []
    for name, url in zip(("through the gateway", "Triton directly"), urls, strict=True):
        load = Load()
        before = {kind: sum(map(cpu, found)) for kind, found in pids.items()} | {"client": cpu(os.getpid())}
        end = time.monotonic() + 2 * SECONDS
        await closed(url, pixels(), CONNECTIONS, lambda end=end: time.monotonic() > end, load)  # type: ignore[misc]
        after = {kind: sum(map(cpu, found)) for kind, found in pids.items()} | {"client": cpu(os.getpid())}
        rates.append(len(load.seconds) / SECONDS / 2)
        spent = ", ".join(f"{kind} {(after[kind] - before[kind]) / SECONDS / 2:.2f}" for kind in after)
        rows.append((f"saturation, {name}", f"{rates[-1]:.0f} req/s (cores: {spent})", "reported"))
        assert not load.failed, load.failed[0]
    return [*rows, ("ratio at saturation", f"{rates[0] / rates[1]:.2f}", "reported")]


def start(platform: Platform) -> Row:
    begun = time.perf_counter()
    platform.start()
    status, body = platform.http("GET", "/api/v1alpha1/namespaces/default/servings")
    assert status == 200, body
    return ("`klever up` to healthy", f"{time.perf_counter() - begun:.2f} s", "< 2 s")


def deploy(platform: Platform, name: str, version: str) -> float:
    """Seconds from the end of the push to Ready."""
    directory = platform.root / f"digits-{name}"
    shutil.copytree(ROOT / "examples" / "digits" / version, directory)
    platform.run("ormb", "save", str(directory), f"team/{name}:{version}")
    platform.run("ormb", "push", f"team/{name}:{version}")
    begun = time.perf_counter()
    platform.run("klever", "deploy", f"team/{name}:{version}", "--name", name, "--wait")
    return time.perf_counter() - begun


def memory(platform: Platform, count: int) -> Row:
    pids = processes(platform.root)
    pss = sum(kibibytes(pid, "Pss") for kind in ("Triton", "stub") for pid in pids[kind]) / 1024
    return (f"resident per served model, {count} served", f"{pss / count:.0f} MiB", "< 80 MB")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory))
        rows = [start(platform)]
        try:
            assert platform.process is not None
            resident = kibibytes(platform.process.pid, "Rss") / 1024
            rows.append(("control plane resident, no runtimes", f"{resident:.0f} MiB", "< 150 MiB"))
            gateway = sum(kibibytes(pid, "Pss") for pid in processes(platform.root)["Envoy"]) / 1024
            rows.append(("Envoy beside it", f"{gateway:.0f} MiB", "reported"))
            times = [deploy(platform, "first", "v1")]
            rows.append(memory(platform, 1))
            pids = processes(platform.root)
            infer = "/v2/models/first/infer"
            urls = (
                f"{platform.url}/seldon/default/first{infer}",
                f"http://127.0.0.1:{direct_port(pids['Triton'][0])}{infer}",
            )
            rows += asyncio.run(at_rate(urls))
            rows += asyncio.run(saturated(urls, pids))
            times += [deploy(platform, name, "v1") for name in ("second", "third")]
            rows.insert(2, ("push finished to Ready, environment warm", f"{median(times):.1f} s", "< 3 s"))
            rows.append(memory(platform, 3))
        finally:
            platform.clean_up()
    print("| figure | measured | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
