"""The native backend of a cluster keeps the contract with real pods, under the restricted standard."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from hack.kubernetes.cluster import Cluster
from hack.kubernetes.python_image import PYTHON, write_klever, write_python
from klever.backends import Instance, PredictorWorkload
from klever.backends.kubernetes import Image, KubernetesBackend, ReplicaSettings
from klever.kube.client import KubeClient
from klever.kube.kubeconfig import load_config
from klever.runtimes.custom import CustomRuntime
from tests.contract.backend import KEY, BackendContract

KLEVER = "klever.test/klever:1"
TOY = "klever.test/server:1"
SERVER = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"here")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listens", flush=True)
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def servers(pods: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    directory = tmp_path_factory.mktemp("images")
    (directory / "server.py").write_text(SERVER)
    write_klever(directory / "klever.tar", KLEVER)
    write_python(directory / "toy.tar", TOY, files={"/opt/server.py": directory / "server.py"})
    for name in ("klever", "toy"):
        pods.load(directory / f"{name}.tar")
    for name in ("team", "team-b"):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        pods.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    return pods


def find_servers(pod: str) -> list[int]:
    """Return the processes of this machine that run the server of a pod, by the pod's uid."""
    cgroups = [path for path in Path("/proc").glob("[0-9]*/cgroup") if pod in path.read_text()]
    return [int(path.parent.name) for path in cgroups if b"/opt/server.py" in (path.parent / "cmdline").read_bytes()]


class TestKubernetesBackend(BackendContract):
    balances = True

    @pytest.fixture
    async def backend(self, servers: Cluster) -> AsyncIterator[KubernetesBackend]:
        self.cluster = servers
        client = await KubeClient.open(load_config(servers.kubeconfig))
        settings = ReplicaSettings(
            KLEVER,
            {frozenset(): Image(TOY, PYTHON)},
            (PYTHON, "-I", "-m", "klever.cmd.initializer"),
            secrets=lambda _: {"platform": None, "entries": {}},
            drain_s=1,
        )
        async with KubernetesBackend(client, {"custom": CustomRuntime()}, settings) as backend:
            yield backend
            for key in await backend.list():
                await backend.remove(key)
        await client.close()

    def predictor(self) -> PredictorWorkload:
        command = (PYTHON, "-I", "/opt/server.py")
        return PredictorWorkload("main", "r1", 1, "custom", command=command, probe_path="/")

    async def ask(self, instance: Instance) -> str:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session,
            session.get(f"http://{instance.http}/") as response,
        ):
            response.raise_for_status()
            return await response.text()

    async def kill(self, instance: Instance) -> None:
        """Kill it from outside: the kernel ignores a SIGKILL to the first process of a namespace from within."""
        wanted = ("get", "pod", instance.name, "-n", KEY.namespace, "-o", "jsonpath={.metadata.uid}")
        uid = (await asyncio.to_thread(self.cluster.kubectl, *wanted)).stdout
        (pid,) = await asyncio.to_thread(find_servers, uid)
        os.kill(pid, signal.SIGKILL)
