"""The store on SQLite against the store on an API server, by the same calls: `python bench/stores.py`.

Starts a control plane of its own (hack/cluster). One process is the client of both.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from hack.kubernetes.cluster import Cluster
from klever.api.kinds import MODEL_JOB, NAMESPACE
from klever.kube import KubeClient
from klever.kube.kubeconfig import load_config
from klever.store import Store
from klever.store.kubernetes import KubernetesStore
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

SECONDS = 5.0
WATCHERS = 100
RATE = 50.0


def job(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "ModelJob",
        "metadata": {"namespace": namespace, "name": name, "annotations": {"note": "x" * 700}},
        "spec": {"model": "team/model:v1", "extraction": {"format": "ONNX"}},
    }


async def creates(store: Store, writers: int) -> float:
    """Creates a second."""
    deadline = time.perf_counter() + SECONDS
    counts = [0] * writers

    async def write(writer: int) -> None:
        while time.perf_counter() < deadline:
            await store.create(MODEL_JOB, job("rates", f"w{writers}-{writer}-{counts[writer]}"))
            counts[writer] += 1

    await asyncio.gather(*(write(w) for w in range(writers)))
    return sum(counts) / SECONDS


async def listing(store: Store) -> float:
    """Milliseconds of a list of 10,000, the median of five."""
    for start in range(0, 10_000, 100):
        await asyncio.gather(*(store.create(MODEL_JOB, job("many", f"j-{i:05}")) for i in range(start, start + 100)))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        page = await store.list(MODEL_JOB, "many")
        assert sum(1 for _ in page.items) == 10_000  # each is decoded
        times.append(time.perf_counter() - started)
    return sorted(times)[2] * 1000


async def fan_out(store: Store) -> float:
    """Milliseconds from a write's begin to the last of the watchers that hears of it, p99."""
    writes = int(RATE * SECONDS)
    version = (await store.list(MODEL_JOB, "fan")).resource_version
    heard: dict[str, list[float]] = {f"f-{i}": [] for i in range(writes)}

    async def listen() -> None:
        left = writes
        async for event in store.watch(MODEL_JOB, "fan", resource_version=version):
            heard[event.object["metadata"]["name"]].append(time.perf_counter())
            left -= 1
            if not left:
                return

    watchers = [asyncio.create_task(listen()) for _ in range(WATCHERS)]
    await asyncio.sleep(2.0)  # each has its stream by then
    sent: dict[str, float] = {}
    begun = time.perf_counter()
    pending = []
    for number, name in enumerate(heard):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        sent[name] = time.perf_counter()
        pending.append(asyncio.create_task(store.create(MODEL_JOB, job("fan", name))))
    await asyncio.gather(*pending, *watchers)
    delays = sorted(max(times) - sent[name] for name, times in heard.items())
    return delays[int(len(delays) * 0.99)] * 1000


async def measure(store: Store) -> tuple[float, float, float, float]:
    for namespace in ("rates", "many", "fan"):
        await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    return await creates(store, 1), await creates(store, 16), await listing(store), await fan_out(store)


async def both(directory: Path, cluster: Cluster) -> list[tuple[str, float, float, str]]:
    sqlite = await SqliteStore.open(directory / "klever.db", SchemaAdmission())
    ours = await measure(sqlite)
    await sqlite.close()
    client = await KubeClient.open(load_config(cluster.kubeconfig), qps=1e6, burst=10_000, connections=64)
    theirs = await measure(KubernetesStore(client, SchemaAdmission()))
    await client.close()
    names = ("creates/s, 1 writer", "creates/s, 16 writers", "list of 10,000, ms", "fan-out to 100, p99 ms")
    goals = ("", ">= 3.5 x", "<= 0.12 x", "<= 0.5 x")
    return list(zip(names, ours, theirs, goals, strict=True))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(Path(directory) / "cluster")
        try:
            cluster.up()
            crds = str(Path(__file__).resolve().parents[1] / "config" / "crd") + "/"
            cluster.kubectl("apply", "--server-side", "-f", crds)
            cluster.kubectl("wait", "--for=condition=Established", "-f", crds)
            rows = asyncio.run(both(Path(directory), cluster))
        finally:
            cluster.down()
    print("| figure | SQLite | API server | ratio | goal |\n|---|---|---|---|---|")
    for name, ours, theirs, goal in rows:
        print(f"| {name} | {ours:.1f} | {theirs:.1f} | {ours / theirs:.2f} x | {goal} |")


if __name__ == "__main__":
    main()
