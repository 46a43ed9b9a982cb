"""Inference through the gateway against Triton itself: `python bench/inference.py`.

A real `klever up` with one replica; the same client asks both in turn, and a bare Envoy with one fixed route, which
shows what of a figure is Envoy and the machine. Also: starting, deploying, memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.load import Load, closed, open_loop
from klever.cmd.programs import envoy_binary
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


@contextmanager
def bare_envoy(platform: Platform, triton: int) -> Iterator[int]:
    """Yield the port of an Envoy that passes everything on to Triton's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "triton"}}
    connections = {
        "@type": f"type.googleapis.com/{manager}",
        "stat_prefix": "bare",
        "route_config": {"virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    }
    manage = {"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}
    endpoint = {"endpoint": {"address": _address(triton)}}
    cluster = {
        "name": "triton",
        "load_assignment": {"cluster_name": "triton", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "bare", "address": _address(port), "filter_chains": [{"filters": [manage]}]}
    file = platform.root / "bare.json"
    file.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    process = subprocess.Popen(
        [str(envoy_binary()), "-c", str(file), "--use-dynamic-base-id", "--log-level", "error"],
        env={},  # nothing in it says that it belongs to the platform
    )
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield port
    finally:
        process.terminate()
        process.wait()


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


async def at_rate(gateway: str, bare: str, direct: str) -> list[Row]:
    """The medians over rounds of what the gateway and a bare Envoy add."""
    p50: list[list[float]] = []
    p99: list[list[float]] = []
    for _ in range(ROUNDS):
        loads = []
        for url in (gateway, bare, direct):
            load = Load()
            await open_loop(url, pixels(), RATE, SECONDS, load)
            assert not load.failed, load.failed[0]
            loads.append(load)
        p50.append([load.quantile(0.5) for load in loads])
        p99.append([load.quantile(0.99) for load in loads])
    return [
        (f"Triton directly at {RATE:.0f} req/s, p50", f"{median(row[2] for row in p50):.2f} ms", ""),
        ("added by the gateway, p50", f"{median(row[0] - row[2] for row in p50):.2f} ms", "< 1 ms"),
        ("added by the gateway, p99", f"{median(row[0] - row[2] for row in p99):.2f} ms", "< 5 ms"),
        ("added by a bare Envoy, p50", f"{median(row[1] - row[2] for row in p50):.2f} ms", ""),
        ("added by a bare Envoy, p99", f"{median(row[1] - row[2] for row in p99):.2f} ms", ""),
    ]


async def saturated(gateway: str, direct: str, pids: dict[str, list[int]]) -> list[Row]:
    rows: list[Row] = []
    rates = []
    for name, url in (("through the gateway", gateway), ("Triton directly", direct)):
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
            envoy = sum(kibibytes(pid, "Pss") for pid in processes(platform.root)["Envoy"]) / 1024
            rows.append(("Envoy beside it", f"{envoy:.0f} MiB", "reported"))
            times = [deploy(platform, "first", "v1")]
            rows.append(memory(platform, 1))
            pids = processes(platform.root)
            infer = "/v2/models/first/infer"
            triton = direct_port(pids["Triton"][0])
            gateway, direct = f"{platform.url}/seldon/default/first{infer}", f"http://127.0.0.1:{triton}{infer}"
            with bare_envoy(platform, triton) as bare:
                rows += asyncio.run(at_rate(gateway, f"http://127.0.0.1:{bare}{infer}", direct))
            rows += asyncio.run(saturated(gateway, direct, pids))
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
