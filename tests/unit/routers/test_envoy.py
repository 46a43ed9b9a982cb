"""The router on real Envoy."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import aiohttp
import grpc
import pytest

from klever.errors import ExhaustedError, UnavailableError
from klever.process import ProcessManager
from klever.routers import RouteKey, Target
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.routers.envoy.admin import Admin
from klever.runtimes.protocols import OPEN_INFERENCE
from tests.contract.router import KEY, RouterContract, Upstream, route, target

pytestmark = pytest.mark.envoy
BINARY = Path(str(files("envoy"))) / "_bin" / "envoy"
DESCRIPTORS = Path(str(files("klever.v1alpha1"))) / "descriptor.binpb"
INFER = "/seldon/team/digits/v2/models/digits/infer"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def access_command(socket: Path, token_file: Path) -> tuple[str, ...]:
    """Return the command of the checkout's access server."""
    checkout = str(Path(__file__).parents[3])
    program = f"import sys; sys.path.insert(0, {checkout!r}); from klever.cmd.access import main; main()"
    return (sys.executable, "-c", program, str(socket), str(token_file))


class Term:
    """Reports leadership for `acts` more calls. The router checks it before each action."""

    def __init__(self) -> None:
        self.acts = 1000

    def __call__(self) -> bool:
        self.acts -= 1
        return self.acts >= 0


Stats = Callable[[Admin, str], Awaitable[dict[str, str]]]


def _unless(words: str, real: Stats, other: Stats) -> Stats:
    """Ask for statistics as ever, but for those whose pattern has such words."""
    return lambda admin, pattern: (other if words in pattern else real)(admin, pattern)


class TestEnvoy(RouterContract):
    @pytest.fixture
    def gateway(self, tmp_path: Path) -> Gateway:
        return Gateway(
            host="127.0.0.1",
            port=free_port(),
            api=tmp_path / "api.sock",
            registry=tmp_path / "registry.sock",
            admin=tmp_path / "admin.sock",
            descriptors=DESCRIPTORS,
            access=tmp_path / "access.sock",
        )

    @pytest.fixture(autouse=True)
    async def router(self, tmp_path: Path, gateway: Gateway) -> AsyncIterator[EnvoyRouter]:
        self.directory, self.config = tmp_path, gateway
        self.processes = self.manager()
        router = self.candidate()
        await router.start()
        yield router
        await router.stop()

    def manager(self, may_act: Callable[[], bool] = lambda: True) -> ProcessManager:
        return ProcessManager(self.directory / "processes", may_act)

    def candidate(self, processes: ProcessManager | None = None) -> EnvoyRouter:
        return EnvoyRouter(self.directory / "envoy", self.config, processes or self.processes, BINARY, ())

    async def restarted(self) -> EnvoyRouter:
        before = self.processes.get("gateway")
        again = self.candidate()
        await again.start()
        assert before is not None
        assert self.processes.get("gateway") == before  # adopted, not started again
        return again

    async def test_a_suspended_router_changes_no_route_after_a_takeover(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        """It had written the clusters of its next route already."""
        a, b = upstreams
        term = Term()
        stopped = self.candidate(self.manager(term))
        await stopped.start()
        await stopped.publish(route(target("main", 100, a)))
        term.acts = 1
        with pytest.raises(UnavailableError):
            await stopped.publish(route(target("main", 100, b, workload="never")))
        other = await self.restarted()
        await other.publish(route(target("main", 100, b)))
        files = self.files()
        for change in (stopped.publish(route(target("main", 100, a, workload="late"))), stopped.withdraw(KEY)):
            with pytest.raises(UnavailableError):
                await change
        assert self.files() == files
        assert await self.post(http, INFER) == 200
        assert b.asked.is_set()
        assert not a.asked.is_set()

    async def test_changes_that_come_at_once_are_told_to_envoy_at_once(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream]
    ) -> None:
        admin, name = Admin(self.config.admin), "cluster_manager.cds.update_success"
        before = int((await admin.stats(name))[name])
        keys = [RouteKey("team", f"digits-{number}") for number in range(50)]
        await asyncio.gather(*(router.publish(route(target("main", 100, upstreams[0]), key=key)) for key in keys))
        assert int((await admin.stats(name))[name]) - before < 10

    async def test_a_change_that_found_no_room_is_made_when_there_is(
        self,
        router: EnvoyRouter,
        upstreams: tuple[Upstream, Upstream],
        http: aiohttp.ClientSession,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(_file: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(ExhaustedError):
                await router.publish(route(target("main", 100, upstreams[0])))
        await router.publish(route(target("main", 100, upstreams[0])))
        assert await self.post(http, INFER) == 200

    async def test_draining_takes_no_longer_for_many_than_for_one(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("klever.routers.envoy.router._DRAIN_SECONDS", 5.0)
        looks: list[str] = []

        async def busy(_admin: Admin, pattern: str) -> dict[str, str]:
            looks.append(pattern)
            gauge = pattern.rstrip("$").replace("%5C%7C", "|").replace("%5C.", ".")
            return {gauge: "1"}

        a, b = upstreams
        await router.publish(route(target("main", 80, a), target("canary", 20, b)))
        with monkeypatch.context() as patched:
            patched.setattr(Admin, "stats", _unless("rq_active", Admin.stats, busy))
            began = time.monotonic()
            await router.withdraw(KEY)
            assert time.monotonic() - began < 9.5  # one after the other would take 10 s
        assert len(set(looks)) == 2

    async def test_a_failed_drain_is_retried(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def gone(_admin: Admin, _pattern: str) -> dict[str, str]:
            await asyncio.Event().wait()  # until the reconcile's own deadline
            return {}

        await router.publish(route(target("main", 100, upstreams[0])))
        with monkeypatch.context() as patched:
            patched.setattr(Admin, "stats", _unless("rq_active", Admin.stats, gone))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(router.withdraw(KEY), 2)
        assert b"team|digits|" in self.files()["clusters.json"]
        await router.withdraw(KEY)
        assert b"team|digits|" not in self.files()["clusters.json"]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.directory / "envoy").glob("[!.]*")}

    async def test_a_foreign_origin_and_a_foreign_host_are_refused(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        await router.publish(route(target("main", 100, upstreams[0])))
        assert await self.post(http, INFER, Origin="http://evil.example") == 403
        assert await self.post(http, INFER, Origin=self.config.url) == 200
        assert await self.post(http, INFER, Host="evil.example") == 404

    async def test_a_replica_that_ended_gets_no_retries_under_load(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        """It has the fewest requests, so that the load balancer prefers it."""
        live, dead = upstreams[0], Upstream("dead")
        dead.address = "127.0.0.1:1"
        await router.publish(route(target("main", 100, live, dead)))
        found = await asyncio.gather(*(self.post(http, INFER) for _ in range(300)))
        assert set(found) == {200}

    async def test_requests_above_the_concurrency_of_a_serving_are_refused(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        one, _ = upstreams
        await router.publish(route(replace(target("main", 100, one), max_requests=2)))
        one.answers.clear()
        held = [asyncio.create_task(self.post(http, INFER)) for _ in range(2)]
        while one.count < 2:
            await asyncio.wait_for(one.asked.wait(), 10)
            await asyncio.sleep(0.01)
        async with http.post(self.config.url + INFER, json={}) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "1")
            assert (await response.json()).keys() == {"error"}
        one.answers.set()
        assert await asyncio.gather(*held) == [200, 200]
        assert await self.post(http, INFER) == 200

    async def test_a_call_above_the_concurrency_of_a_serving_is_resource_exhausted(self, router: EnvoyRouter) -> None:
        answers, asked = asyncio.Event(), asyncio.Event()

        async def infer(request: bytes, _: object) -> bytes:
            asked.set()
            await answers.wait()
            return request

        server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(infer)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        address = f"127.0.0.1:{port}"
        await router.publish(route(Target("main", "r1", OPEN_INFERENCE, 100, (address,), (address,), max_requests=1)))
        async with grpc.aio.insecure_channel(self.config.url.removeprefix("http://")) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", bytes, bytes)
            metadata = (("seldon", KEY.serving), ("namespace", KEY.namespace))
            held = call(b"", metadata=metadata)
            await asyncio.wait_for(asked.wait(), 10)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"", metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            answers.set()
            assert await held == b""
        await server.stop(0)

    async def test_a_request_that_takes_longer_than_its_serving_allows_is_ended(
        self, router: EnvoyRouter, upstreams: tuple[Upstream, Upstream], http: aiohttp.ClientSession
    ) -> None:
        one, _ = upstreams
        await router.publish(replace(route(target("main", 100, one)), timeout_seconds=1))
        one.answers.clear()
        async with http.post(self.config.url + INFER, json={}) as response:
            assert response.status == 504
            assert (await response.json()).keys() == {"error"}

    async def test_a_rest_body_must_be_json(self, http: aiohttp.ClientSession) -> None:
        path = "/api/v1alpha1/namespaces/default/servings"
        assert await self.post(http, path, **{"Content-Type": "text/plain"}) == 415

    async def test_its_own_pages_are_not_published(self, http: aiohttp.ClientSession) -> None:
        for path in ("/metrics", "/stats", "/config_dump", "/quitquitquit"):
            assert await self.post(http, path) == 404, path

    async def post(self, http: aiohttp.ClientSession, path: str, **headers: str) -> int:
        async with http.post(self.config.url + path, headers=headers) as response:
            return response.status
