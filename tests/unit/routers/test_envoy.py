"""The router on real Envoy."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest

from klever.process import ProcessManager
from klever.routers.envoy import EnvoyRouter, Gateway
from tests.contract.router import RouterContract, Upstream, route, target

BINARY = Path(str(files("envoy"))) / "_bin" / "envoy"
DESCRIPTORS = Path(str(files("klever.v1alpha1"))) / "descriptor.binpb"
INFER = "/seldon/team/digits/v2/models/digits/infer"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class TestEnvoy(RouterContract):
    @pytest.fixture
    def config(self, tmp_path: Path) -> Gateway:
        return Gateway(
            host="127.0.0.1",
            port=free_port(),
            api=tmp_path / "api.sock",
            registry=tmp_path / "registry.sock",
            admin=tmp_path / "admin.sock",
            descriptors=DESCRIPTORS,
            token="secret",
        )

    @pytest.fixture(autouse=True)
    async def router(self, tmp_path: Path, config: Gateway) -> AsyncIterator[EnvoyRouter]:
        self.directory, self.config = tmp_path, config
        self.processes = ProcessManager(tmp_path / "processes")
        router = self.candidate()
        await router.start()
        yield router
        await router.stop()

    def candidate(self) -> EnvoyRouter:
        return EnvoyRouter(self.directory / "envoy", self.config, self.processes, BINARY)

    async def restarted(self) -> EnvoyRouter:
        before = self.processes.get("gateway")
        again = self.candidate()
        await again.start()
        assert before is not None
        assert self.processes.get("gateway") == before  # adopted, not started again
        return again

    async def test_a_foreign_origin_and_a_foreign_host_are_refused(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        await router.publish(route(target("main", 100, upstreams[0])))
        assert await self.post(http, INFER, Origin="http://evil.example") == 403
        assert await self.post(http, INFER, Origin=self.config.url) == 200
        assert await self.post(http, INFER, Host="evil.example") == 404

    async def test_a_rest_body_must_be_json(self, http: aiohttp.ClientSession) -> None:
        path = "/api/v1alpha1/namespaces/default/servings"
        assert await self.post(http, path, **{"Content-Type": "text/plain"}) == 415

    async def test_its_own_pages_are_not_published(self, http: aiohttp.ClientSession) -> None:
        for path in ("/metrics", "/stats", "/config_dump", "/quitquitquit"):
            assert await self.post(http, path) == 404, path

    async def post(self, http: aiohttp.ClientSession, path: str, **headers: str) -> int:
        async with http.post(self.config.url + path, headers=headers) as response:
            return response.status
