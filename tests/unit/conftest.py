"""What stands under the tests of several packages: small disks, processes, a client of the API server."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from klever.kube import KubeClient
from klever.kube.kubeconfig import load_config
from klever.process import ProcessManager

__all__ = ["MakeDisk"]

MakeDisk = Callable[[str], Path]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """`make_disk("64m")` mounts an empty file system of that size."""
    directory = tmp_path / "disk"

    def mount(size: str) -> Path:
        directory.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a tmpfs cannot be mounted here, which takes root: {getattr(error, 'stderr', error)}")
        return directory

    yield mount
    if directory.is_mount():
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[ProcessManager]:
    manager = ProcessManager(tmp_path / "processes")
    yield manager
    for state in manager.list():
        await manager.stop(state.spec.id, grace_s=0)


@pytest.fixture
async def kube_client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    """The administrator of a real API server, in a hurry."""
    client = await KubeClient.open(load_config(kubeconfig), qps=500, burst=500)
    yield client
    await client.close()
