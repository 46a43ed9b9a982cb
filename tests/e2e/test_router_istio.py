"""The Istio router keeps the contract: requests pass a real Envoy that istiod configures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hack.kubernetes.cluster import Cluster
from klever.kube.client import KubeClient
from klever.kube.kubeconfig import load_config
from klever.routers.istio import IstioRouter, IstioSettings
from tests.contract.router import RouterContract

PORT = 8080


@pytest.fixture(scope="module")
def mesh(istio: Cluster) -> Cluster:
    for name in ("team", "team-b"):
        istio.kubectl("create", "namespace", name)
    return istio


class TestIstio(RouterContract):
    @pytest.fixture
    def here(self, mesh: Cluster) -> str:
        return mesh.host

    @pytest.fixture
    async def router(self, mesh: Cluster) -> AsyncIterator[IstioRouter]:
        url = f"http://{mesh.gateway}:{PORT}"
        self.settings = IstioSettings(url, port=PORT, drain_s=0.5, settle_s=0.3)
        self.client = await KubeClient.open(load_config(mesh.kubeconfig))
        self.stack = AsyncExitStack()
        self.current = await self.stack.enter_async_context(IstioRouter(self.client, self.settings))
        yield self.current
        await asyncio.gather(*(self.current.withdraw(route.key) for route in await self.current.routes()))
        await self.stack.aclose()
        await self.client.close()

    async def restarted(self) -> IstioRouter:
        await self.stack.aclose()
        self.current = await self.stack.enter_async_context(IstioRouter(self.client, self.settings))
        return self.current
