"""The store on a real API server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from klever.api.kinds import NAMESPACE, SERVING, Kind, Object
from klever.errors import ConflictError, InvalidError
from klever.kube import KubeClient
from klever.kube.kubeconfig import load_config
from klever.store import Key
from klever.store.admission import Subresource
from klever.store.kubernetes import KubernetesStore
from klever.store.validation import SchemaAdmission
from tests.contract.codec import CodecContract
from tests.contract.corpus import CorpusContract
from tests.contract.store import Others, StoreContract, serving
from tests.kubectl import Given


@pytest.fixture
def store(kube_client: KubeClient) -> KubernetesStore:
    return KubernetesStore(kube_client, SchemaAdmission())


@pytest.fixture
async def namespace(store: KubernetesStore) -> str:
    created = await store.create(NAMESPACE, {"metadata": {"generateName": "test-"}})
    return str(created["metadata"]["name"])


class Contended(KubeClient):
    """Somebody writes the status after each of our first reads."""

    writes = 0

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        found = await super().get(kind, namespace, name)
        if self.writes:
            self.writes -= 1
            status = {"status": {"observedGeneration": self.writes}}
            await self.patch(kind, namespace, name, status, subresource="status")
        return found


@pytest.mark.parametrize("writes", [0, 1, 8])
async def test_apply_goes_through_beside_writes_of_the_status(kubeconfig: Path, namespace: str, writes: int) -> None:
    client = await Contended.open(load_config(kubeconfig), qps=500, burst=500)
    try:
        store = KubernetesStore(client, SchemaAdmission())
        await store.create(SERVING, serving(namespace, "a", replicas=3))  # which the apply must take over
        client.writes = writes
        applied = await store.apply(SERVING, serving(namespace, "a"))
        assert "replicas" not in applied["spec"]["predictors"][0]
        assert client.writes == 0
        await store.patch(SERVING, Key(namespace, "a"), {"spec": serving("", "", replicas=4)["spec"]})
        client.writes = 1000
        with pytest.raises(ConflictError):
            await store.apply(SERVING, serving(namespace, "a"))
    finally:
        await client.close()


async def test_apply_swaps_what_an_earlier_write_of_ours_owns(store: KubernetesStore, namespace: str) -> None:
    created = await store.create(SERVING, serving(namespace, "a", replicas=3))
    declared = serving(namespace, "a")
    declared["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
    assert "replicas" not in (await store.apply(SERVING, declared))["spec"]["predictors"][0]
    with pytest.raises(ConflictError):
        await store.apply(SERVING, declared)


UNREADABLE = {"status": {"trafficSummary": 2}}
"""It is text in the schema; the status is not written here, but the API server forgets managedFields by it."""


@pytest.mark.parametrize("applied_since", [False, True], ids=["nobody's", "before-first-apply's"])
async def test_apply_removes_what_nobody_owns(
    kube_client: KubeClient, store: KubernetesStore, namespace: str, applied_since: bool
) -> None:
    key = Key(namespace, "a")
    other = {"name": "other", "model": "team/m:v2", "traffic": 40}
    declared = serving(namespace, "a", replicas=3, traffic=60)
    declared["spec"]["predictors"].append(other)
    await store.apply(SERVING, declared)
    await store.patch(SERVING, key, UNREADABLE)
    assert "managedFields" not in (await kube_client.get(SERVING, namespace, "a"))["metadata"]
    if applied_since:
        await kube_client.apply(SERVING, {"metadata": {"namespace": namespace, "name": "a", "labels": {"x": "y"}}})
        managers = {e["manager"] for e in (await kube_client.get(SERVING, namespace, "a"))["metadata"]["managedFields"]}
        assert "before-first-apply" in managers
    (left,) = (await store.apply(SERVING, serving(namespace, "a")))["spec"]["predictors"]
    assert (left["name"], "replicas" in left) == ("main", False)
    again = await store.apply(SERVING, serving(namespace, "a", replicas=2))
    assert again["spec"]["predictors"][0]["replicas"] == 2


async def test_an_autoscaler_reads_and_changes_the_number_of_replicas(
    kube_client: KubeClient, store: KubernetesStore, namespace: str
) -> None:
    await store.create(SERVING, serving(namespace, "a"))
    status = {"status": {"replicas": 1, "selector": "kleveross.io/serving=a"}}
    await store.patch(SERVING, Key(namespace, "a"), status, subresource="status")
    scale = {"spec": {"replicas": 3}}
    scaled = await kube_client.patch(SERVING, namespace, "a", scale, subresource="scale")
    assert scaled["status"] == {"replicas": 1, "selector": "kleveross.io/serving=a"}
    assert (await store.get(SERVING, Key(namespace, "a")))["spec"]["replicas"] == 3
    previewed = await store.apply(SERVING, serving(namespace, "a"), dry_run=True)
    applied = await store.apply(SERVING, serving(namespace, "a"))
    assert (previewed["spec"], applied["spec"]["replicas"]) == (applied["spec"], 3)
    named = serving(namespace, "a")
    named["spec"]["replicas"] = 2
    previewed = await store.apply(SERVING, named, dry_run=True)
    assert previewed["spec"] == (await store.apply(SERVING, named))["spec"]


async def test_refusals_are_in_the_words_of_every_store(store: KubernetesStore, namespace: str) -> None:
    created = await store.create(SERVING, serving(namespace, "a"))
    stale = {"metadata": {"resourceVersion": created["metadata"]["resourceVersion"], "labels": {"n": "2"}}}
    await store.patch(SERVING, Key(namespace, "a"), {"metadata": {"labels": {"n": "1"}}})
    labelled = serving(namespace, "b")
    labelled["metadata"]["labels"] = {"a b": "c"}
    for refused, words in (
        (store.patch(SERVING, Key(namespace, "a"), stale), "read it and try again"),
        (store.create(SERVING, labelled), "invalid label key"),
        (store.apply(SERVING, labelled), "invalid label key"),
        (store.apply(SERVING, serving(namespace, "b", traffic=120)), "traffic"),
    ):
        with pytest.raises((ConflictError, InvalidError), match=words) as caught:
            await refused
        assert "kleveross.io" not in caught.value.message


class NoAdmission:
    """Leaves the API server's own words."""

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: Subresource) -> Object:
        return new


class TestKubernetesStore(StoreContract):
    @pytest.fixture
    def store(self, kube_client: KubeClient) -> KubernetesStore:
        return KubernetesStore(kube_client, SchemaAdmission())

    @pytest.fixture(params=[(), ("--server-side", "--force-conflicts")], ids=["client-side", "server-side"])
    def others(self, request: pytest.FixtureRequest, kubeconfig: Path, tmp_path: Path) -> Others:
        """kubectl apply, as it works by default and on the server."""
        kubectl = Given(kubeconfig, tmp_path).kubectl

        async def write(obj: Object) -> None:
            await asyncio.to_thread(kubectl, "apply", *request.param, "-f", "-", stdin=json.dumps(obj))

        return write

    @pytest.fixture
    def other_name(self, request: pytest.FixtureRequest) -> str:
        return "kubectl" if "server-side" in request.node.name else "kubectl-client-side-apply"


class TestCodec(CodecContract):
    @pytest.fixture
    def store(self, kube_client: KubeClient) -> KubernetesStore:
        return KubernetesStore(kube_client, NoAdmission())


class TestCorpus(CorpusContract):
    """The API server's own verdicts and fields, none of ours."""

    @pytest.fixture
    def store(self, kube_client: KubeClient) -> KubernetesStore:
        return KubernetesStore(kube_client, NoAdmission())
