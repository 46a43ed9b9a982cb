"""The load of controllers on an API server, and their recovery from restarts: `python bench/controllers.py`.

1,000 ModelJobs that have ended and 500 Servings without replicas, settled by `klever controllers`; then a minute of
silence, a restart, a kill, and 8,500 more objects. Calls are counted in the API server's audit log. Some minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from hack.kubernetes.cluster import Cluster
from klever.api.kinds import MODEL_JOB, SERVING
from klever.kube import KubeClient
from klever.kube.kubeconfig import load_config
from klever.store import Key
from klever.store.kubernetes import KubernetesStore
from klever.store.validation import SchemaAdmission

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
USER = "loops"
QUIET = 10.0
"""Seconds without a call: settled."""
Row = tuple[str, str, str]


def calls(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the calls of the controllers, except watches and renewals of their Lease."""
    events = []
    for line in cluster.audit.read_bytes().splitlines():
        event = json.loads(line)
        counts = event["verb"] != "watch" and event.get("objectRef", {}).get("resource") != "leases"
        if event["user"]["username"] == USER and counts:
            events.append(event)
    return events


def settle(cluster: Cluster, deadline: float = 600.0) -> float:
    """Wait until nothing has been asked for a while; returns when the last call was."""
    end = time.monotonic() + deadline
    known, last = -1, time.monotonic()
    while time.monotonic() < end:
        count = len(calls(cluster))
        if count != known:
            known, last = count, time.monotonic()
        elif time.monotonic() - last > QUIET:
            return last
        time.sleep(0.5)
    raise TimeoutError("the controllers do not come to rest")


async def fill(store: KubernetesStore, jobs: range, servings: range) -> None:
    gate = asyncio.Semaphore(50)

    async def job(number: int) -> None:
        async with gate:
            obj = {"metadata": {"namespace": "default", "name": f"job-{number:05}", "annotations": {"note": "x" * 500}}}
            spec = {"spec": {"model": "team/adder:v1", "extraction": {"format": "ONNX"}}}
            await store.create(MODEL_JOB, _whole("ModelJob", obj | spec))
            done = {"phase": "Succeeded", "completionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}
            await store.patch(MODEL_JOB, Key("default", f"job-{number:05}"), {"status": done}, subresource="status")

    async def serving(number: int) -> None:
        async with gate:
            obj = {"metadata": {"namespace": "default", "name": f"serving-{number:03}"}}
            predictor = {"name": "main", "model": "team/adder:v1", "replicas": 0}
            await store.create(SERVING, _whole("Serving", obj | {"spec": {"predictors": [predictor]}}))

    await asyncio.gather(*map(job, jobs), *map(serving, servings))


def _whole(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kleveross.io/v1alpha1", "kind": kind} | obj


started: list[subprocess.Popen[bytes]] = []


class Controllers:
    def __init__(self, root: Path, kubeconfig: Path, registry: str) -> None:
        self.log = root / f"controllers-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(str(BIN / "klever"), "controllers", "--data", str(root / "work"), "--port", "18931"),
                    *("--kubeconfig", str(kubeconfig), "--registry", registry),
                ],
                stdout=log,
                stderr=log,
            )
        started.append(self.process)

    def leads(self) -> float:
        """When it leads."""
        while "it leads" not in self.log.read_text():
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.05)
        return time.monotonic()

    def memory(self) -> float:
        """Resident MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait()


def measure(root: Path, cluster: Cluster, registry: str) -> list[Row]:
    kubeconfig = cluster.user(USER, "system:masters")

    def fill_with(jobs: range, servings: range) -> None:
        async def run() -> None:
            client = await KubeClient.open(load_config(cluster.kubeconfig), qps=1e6, burst=10_000)
            await fill(KubernetesStore(client, SchemaAdmission()), jobs, servings)
            await client.close()

        asyncio.run(run())

    def start() -> Controllers:
        return Controllers(root, kubeconfig, registry)

    def settled() -> tuple[Controllers, float]:
        begun = time.monotonic()
        controllers = start()
        controllers.leads()
        return controllers, settle(cluster) - begun

    # Jobs come while nobody works: they would be begun with before their status says that they have ended.
    fill_with(range(1_000), range(500))
    controllers, first = settled()
    before = len(calls(cluster))
    time.sleep(60)
    steady = len(calls(cluster)) - before
    controllers.end(signal.SIGTERM)
    controllers, restart = settled()
    other = start()
    time.sleep(3)  # it waits for its turn by then
    controllers.end(signal.SIGKILL)
    killed = time.monotonic()
    failover = other.leads() - killed
    other.end(signal.SIGTERM)
    fill_with(range(1_000, 9_500), range(0))
    controllers, _ = settled()
    memory = controllers.memory()
    controllers.end(signal.SIGTERM)
    return [
        ("API calls a minute in steady state, 1,000 jobs and 500 Servings", str(steady), "0"),
        ("first settling of 500 Servings", f"{first:.1f} s", ""),
        ("restart over them, until the last call", f"{restart:.1f} s", "< 60 s"),
        ("failover after kill -9 of the leader", f"{failover:.1f} s", "< 20 s"),
        ("resident with 10,000 objects", f"{memory:.0f} MiB", "< 250 MiB"),
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        cluster = Cluster(root / "cluster")
        os.environ |= {"XDG_CONFIG_HOME": str(root / "config"), "ROOTPATH": str(root / "ormb")}
        platform = subprocess.Popen(
            [str(BIN / "klever"), "up", "--data", str(root / "source"), "--port", "18930"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            cluster.up()
            crds = str(ROOT / "config" / "crd") + "/"
            cluster.kubectl("apply", "--server-side", "-f", crds)
            cluster.kubectl("wait", "--for=condition=Established", "-f", crds)
            assert platform.stdout is not None
            platform.stdout.readline()
            shutil.copytree(ROOT / "tests" / "data" / "onnx", root / "model")
            for verb in (["save", str(root / "model")], ["push"]):
                subprocess.run([str(BIN / "ormb"), *verb, "team/adder:v1"], check=True, capture_output=True)
            rows = measure(root, cluster, "http://127.0.0.1:18930")
        finally:
            for process in started:
                process.terminate()
                process.wait()
            platform.terminate()
            platform.wait()
            subprocess.run(
                [str(BIN / "klever"), "down", "--data", str(root / "work")], check=False, capture_output=True
            )
            cluster.down()
    print("| figure | measured | goal |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
