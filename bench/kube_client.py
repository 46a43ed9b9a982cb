"""klever.kube beside the `kubernetes` package's asynchronous client: `python bench/kube_client.py`.

Starts a control plane of its own. Each client runs in a process of its own; the package's rows are left out where it is
not installed (`pip install kubernetes`).
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

SECONDS = 5.0
CONCURRENT = 8
OBJECTS = 5_000


def memory() -> float:
    """The most that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def rate(get: Any) -> float:
    deadline = time.perf_counter() + SECONDS
    count = 0

    async def ask() -> None:
        nonlocal count
        while time.perf_counter() < deadline:
            await get()
            count += 1

    await asyncio.gather(*(ask() for _ in range(CONCURRENT)))
    return count / SECONDS


async def ours(kubeconfig: Path) -> tuple[float, float]:
    from klever.api.kinds import Kind  # noqa: PLC0415 - its weight is measured
    from klever.kube import KubeClient  # noqa: PLC0415 - its weight is measured
    from klever.kube.kubeconfig import load_config  # noqa: PLC0415 - its weight is measured

    config_map = Kind("", "v1", "ConfigMap", "configmaps", has_status=False)
    client = await KubeClient.open(load_config(kubeconfig), qps=1e6, burst=10_000)
    gets = await rate(lambda: client.get(config_map, "default", "map-0"))
    started = time.perf_counter()
    assert len((await client.list(config_map, "default"))["items"]) >= OBJECTS
    listed = time.perf_counter() - started
    await client.close()
    return gets, listed * 1000


async def theirs(kubeconfig: Path) -> tuple[float, float]:
    from kubernetes.aio import client, config  # noqa: PLC0415 - the peer, which its own process alone loads

    await config.load_kube_config(str(kubeconfig))
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        gets = await rate(lambda: core.read_namespaced_config_map("map-0", "default"))
        started = time.perf_counter()
        assert len((await core.list_namespaced_config_map("default")).items) >= OBJECTS
        listed = time.perf_counter() - started
    return gets, listed * 1000


def child(which: str, kubeconfig: Path) -> None:
    started = time.perf_counter()
    if which == "ours":
        import klever.kube  # noqa: F401, PLC0415
    else:
        import kubernetes.aio  # noqa: F401, PLC0415
    imported = (time.perf_counter() - started) * 1000
    weight = memory()
    gets, listed = asyncio.run((ours if which == "ours" else theirs)(kubeconfig))
    print(json.dumps({"imported": imported, "weight": weight, "gets": gets, "listed": listed, "peak": memory()}))


def main() -> None:
    if len(sys.argv) > 1:
        child(sys.argv[1], Path(sys.argv[2]))
        return
    from hack.kubernetes.cluster import Cluster  # noqa: PLC0415 - no part of what the children weigh

    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(Path(directory) / "cluster")
        try:
            cluster.up()
            maps = [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"map-{n}"}, "data": {"a": "x" * 1000}}
                for n in range(OBJECTS)
            ]
            for start in range(0, OBJECTS, 1000):
                document = {"apiVersion": "v1", "kind": "List", "items": maps[start : start + 1000]}
                cluster.kubectl("create", "--request-timeout=0", "-f", "-", stdin=json.dumps(document))
            print(
                "| client | import | MiB after import | get/s | list of 5,000 | peak MiB |\n|---|---|---|---|---|---|"
            )
            for which in ("ours", "theirs")[: 1 + (find_spec("kubernetes") is not None)]:
                command = [sys.executable, __file__, which, str(cluster.kubeconfig)]
                row = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
                name = "klever.kube (aiohttp)" if which == "ours" else "kubernetes.aio"
                print(
                    f"| {name} | {row['imported']:.0f} ms | {row['weight']:.0f} | {row['gets']:.0f}"
                    f" | {row['listed']:.0f} ms | {row['peak']:.0f} |"
                )
        finally:
            cluster.down()


if __name__ == "__main__":
    main()
