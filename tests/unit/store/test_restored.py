"""etcd of an older day under a running platform, on a real control plane."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import pytest

from hack.kubernetes.cluster import COMPONENTS, Cluster
from klever.api.kinds import MODEL_JOB
from klever.errors import ExpiredError
from klever.kube import KubeClient
from klever.kube.kubeconfig import load_config
from klever.store import Key, WatchEvent
from klever.store.kubernetes import CachedStore, KubernetesStore
from klever.store.validation import SchemaAdmission
from tests.conftest import install_crds
from tests.contract.store import job

AHEAD = 300
"""Changes since the backup. A server that starts makes some 40 of its own, and must stay behind what clients saw:
no client of Kubernetes notices a restored server that has overtaken it (etcdctl has --bump-revision for that)."""

KEY = Key("default", "a")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "cluster")
    cluster.up()
    install_crds(cluster)
    yield cluster
    cluster.down()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubeClient]:
    client = await KubeClient.open(load_config(cluster.kubeconfig))
    yield client
    await client.close()


def end(cluster: Cluster) -> None:
    for component in reversed(COMPONENTS):
        cluster.kill(component)


def back_up(cluster: Cluster) -> None:
    end(cluster)
    shutil.copytree(cluster.root / "etcd", cluster.root / "backup")
    cluster.up()


def restore(cluster: Cluster) -> None:
    end(cluster)
    shutil.rmtree(cluster.root / "etcd")
    shutil.move(cluster.root / "backup", cluster.root / "etcd")
    cluster.up()


async def seen(watch: AsyncGenerator[WatchEvent, None], type_: str, name: str) -> None:
    async with asyncio.timeout(120):
        async for event in watch:
            if (event.type, event.object["metadata"]["name"]) == (type_, name):
                return


async def test_controllers_read_the_restored_objects(cluster: Cluster, client: KubeClient) -> None:
    direct = KubernetesStore(client, SchemaAdmission())
    await direct.create(MODEL_JOB, job("default", "a", labels={"x": "before"}))
    await asyncio.to_thread(back_up, cluster)
    async with CachedStore(client, direct, lambda: True) as cached:
        await cached.list(MODEL_JOB)
        hearing = cached.watch(MODEL_JOB)
        await cached.create(MODEL_JOB, job("default", "b"))
        for count in range(AHEAD):
            await cached.patch(MODEL_JOB, KEY, {"metadata": {"labels": {"x": str(count)}}})
        page = await direct.list(MODEL_JOB)
        theirs = direct.watch(MODEL_JOB, resource_version=page.resource_version)
        waiting = asyncio.ensure_future(anext(theirs))  # a client's watch that hears nothing until then
        await asyncio.to_thread(restore, cluster)
        await seen(hearing, "DELETED", "b")
        assert (await cached.get(MODEL_JOB, KEY))["metadata"]["labels"] == {"x": "before"}
        await direct.create(MODEL_JOB, job("default", "c"))
        await seen(hearing, "ADDED", "c")
        with pytest.raises(ExpiredError, match="Too large resource version"):
            await waiting
        await hearing.aclose()
    assert [obj["metadata"]["name"] for obj in (await direct.list(MODEL_JOB)).items] == ["a", "c"]
