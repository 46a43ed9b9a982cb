"""The store on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from klever.api.kinds import Kind, Object
from klever.kube import KubeClient, KubeConfig
from klever.store.admission import Subresource
from klever.store.kubernetes import KubernetesStore
from klever.store.validation import SchemaAdmission
from tests.contract.codec import CodecContract
from tests.contract.corpus import CorpusContract
from tests.contract.store import StoreContract


@pytest.fixture
async def client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    client = await KubeClient.open(KubeConfig.load(kubeconfig), qps=500, burst=500)
    yield client
    await client.close()


class NoAdmission:
    """Leaves the API server's own words."""

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: Subresource) -> Object:
        return new


class TestKubernetesStore(StoreContract):
    @pytest.fixture
    def store(self, client: KubeClient) -> KubernetesStore:
        return KubernetesStore(client, SchemaAdmission())


class TestCodec(CodecContract):
    @pytest.fixture
    def store(self, client: KubeClient) -> KubernetesStore:
        return KubernetesStore(client, NoAdmission())


class TestCorpus(CorpusContract):
    """The API server's own verdicts and fields, none of ours."""

    @pytest.fixture
    def store(self, client: KubeClient) -> KubernetesStore:
        return KubernetesStore(client, NoAdmission())
