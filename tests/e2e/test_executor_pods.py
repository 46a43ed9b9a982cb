"""The executor of a cluster runs tasks in real pods, and does what every executor does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from hack.kubernetes.cluster import Cluster
from hack.kubernetes.python_image import PYTHON, write_python
from klever.executors.kubernetes import KubernetesExecutor, PodSettings
from klever.kube.client import KubeClient
from klever.kube.kubeconfig import load_config
from tests.contract.executor import ENVIRONMENT, PROGRAM, TOY, ExecutorContract, Gate

IMAGE = "klever.test/toy:1"


@pytest.fixture(scope="module")
def toys(pods: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster, with an image of Python that has `PROGRAM`, and the restricted standard enforced."""
    directory = tmp_path_factory.mktemp("image")
    (directory / "program.py").write_text(PROGRAM)
    write_python(directory / "toy.tar", IMAGE, files={"/opt/program.py": directory / "program.py"})
    pods.load(directory / "toy.tar")
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    pods.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    return pods


class TestKubernetesExecutor(ExecutorContract):
    @pytest.fixture
    def program(self) -> str:
        return "/opt/program.py"

    @pytest.fixture
    def gate(self, toys: Cluster) -> Gate:
        async def open_() -> None:
            names = toys.kubectl("get", "pods", "-n", "team", "-o", "name").stdout.split()
            command = (PYTHON, "-c", "open('/task/go', 'w')")
            await asyncio.to_thread(toys.kubectl, "exec", "-n", "team", *names, "--", *command)

        return Gate("/task/go", open_)

    @pytest.fixture
    async def executor(self, toys: Cluster) -> AsyncIterator[KubernetesExecutor]:
        client = await KubeClient.open(load_config(toys.kubeconfig))
        settings = PodSettings(IMAGE, {ENVIRONMENT: IMAGE}, (PYTHON, "-c", TOY), python=PYTHON)
        async with KubernetesExecutor(client, settings) as executor:
            yield executor
            for state in await executor.list():
                await executor.remove(state.uid)
        await client.close()
