"""The store on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from klever.kube import KubeClient, KubeConfig
from klever.store.kubernetes import KubernetesStore
from klever.store.validation import SchemaAdmission
from tests.contract.store import StoreContract


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    client = await KubeClient.open(KubeConfig.load(kubeconfig), qps=500, burst=500)
    yield client
    await client.close()


class TestKubernetesStore(StoreContract):
    @pytest.fixture
    def store(self, client: KubeClient) -> KubernetesStore:
        return KubernetesStore(client, SchemaAdmission())
