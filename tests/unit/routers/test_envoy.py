"""The router on real Envoy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from klever.process import ProcessManager
from klever.routers import HeaderMatch, Route, RouteKey, Target
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.runtimes import WireProtocol

KEY = RouteKey("team", "digits")
BINARY = Path(str(files("envoy"))) / "_bin" / "envoy"
DESCRIPTORS = Path(str(files("klever.v1alpha1"))) / "descriptor.binpb"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def target(predictor: str, weight: int, *endpoints: str, headers: tuple[HeaderMatch, ...] = ()) -> Target:
    return Target(predictor, f"r-{predictor}", WireProtocol.OPEN_INFERENCE, weight, endpoints, (), headers)


class Upstream:
    """Answers every path with its own name and the path that it was asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self.hold = asyncio.Event()
        self.hold.set()

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.address = f"{host}:{port}"
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        await self.hold.wait()
        return web.json_response({"who": self.name, "path": request.path})


@pytest.fixture
async def upstreams() -> AsyncIterator[tuple[Upstream, Upstream]]:
    both = (Upstream("a"), Upstream("b"))
    runners = [await u.start() for u in both]
    yield both
    for upstream, runner in zip(both, runners, strict=True):
        upstream.hold.set()
        await runner.cleanup()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[tuple[EnvoyRouter, Gateway, ProcessManager]]:
    config = Gateway(
        host="127.0.0.1",
        port=free_port(),
        api=tmp_path / "api.sock",
        registry=tmp_path / "registry.sock",
        admin=tmp_path / "admin.sock",
        descriptors=DESCRIPTORS,
        token="secret",
    )
    processes = ProcessManager(tmp_path / "processes")
    router = EnvoyRouter(tmp_path / "envoy", config, processes, BINARY)
    await router.start()
    yield router, config, processes
    await router.stop()


@pytest.fixture
async def http(gateway: tuple[EnvoyRouter, Gateway, ProcessManager]) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(gateway[1].url) as session:
        yield session


PREFIX = "/seldon/team/digits"
INFER = f"{PREFIX}/v2/models/digits/infer"


async def who(http: aiohttp.ClientSession, **headers: str) -> str:
    async with http.post(INFER, headers=headers) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, str] = await response.json()
        assert answer["path"] == "/v2/models/digits/infer"
        return answer["who"]


async def status(http: aiohttp.ClientSession, path: str, method: str = "GET", **headers: str) -> int:
    async with http.request(method, path, headers=headers) as response:
        return response.status


async def test_shares_and_header_matches(gateway, upstreams, http) -> None:  # type: ignore[no-untyped-def]
    router, _, _ = gateway
    a, b = upstreams
    await router.publish(Route(KEY, (target("main", 80, a.address), target("canary", 20, b.address))))
    seen = [await who(http) for _ in range(200)]
    assert 20 < seen.count("b") < 65
    match = (HeaderMatch("x-user", "me"),)
    await router.publish(Route(KEY, (target("main", 100, a.address), target("canary", 0, b.address, headers=match))))
    assert {await who(http) for _ in range(20)} == {"a"}
    assert {await who(http, **{"x-user": "me"}) for _ in range(20)} == {"b"}


async def test_only_allow_listed_paths_are_published(gateway, upstreams, http) -> None:  # type: ignore[no-untyped-def]
    router, _, _ = gateway
    await router.publish(Route(KEY, (target("main", 100, upstreams[0].address),)))
    for path in ("/v2", "/v2/health/ready", "/v2/models/digits", "/v2/models/digits/versions/1/ready"):
        assert await status(http, PREFIX + path) == 200, path
    for path in (
        "/v2/repository/index",
        "/v2/repository/models/digits/load",
        "/v2/systemsharedmemory/status",
        "/v2/models/digits/config",
        "/v2/models/other/infer",
        "/v2/logging",
        "/v2/models/digits/infer/../../../repository/index",
        "/metrics",
    ):
        assert await status(http, PREFIX + path) == 404, path
    assert await status(http, "/metrics") == 404
    assert await status(http, "/stats") == 404


async def test_a_foreign_origin_and_a_foreign_host_are_refused(gateway, upstreams, http) -> None:  # type: ignore[no-untyped-def]
    router, config, _ = gateway
    await router.publish(Route(KEY, (target("main", 100, upstreams[0].address),)))
    assert await status(http, INFER, "POST", Origin="http://evil.example") == 403
    assert await status(http, INFER, "POST", Origin=config.url) == 200
    assert await status(http, INFER, "POST", Host="evil.example") == 404


async def test_a_rest_body_must_be_json(gateway, http) -> None:  # type: ignore[no-untyped-def]
    path = "/api/v1alpha1/namespaces/default/servings"
    assert await status(http, path, "POST", **{"Content-Type": "text/plain"}) == 415


async def test_a_serving_without_endpoints_and_an_unknown_one(gateway, http) -> None:  # type: ignore[no-untyped-def]
    router, _, _ = gateway
    assert await status(http, INFER, "POST") == 404
    await router.publish(Route(KEY, (target("main", 100),)))
    assert await status(http, INFER, "POST") == 503
    await router.withdraw(KEY)
    assert await status(http, INFER, "POST") == 404


async def test_a_request_under_way_survives_the_change_of_its_route(gateway, upstreams, http) -> None:  # type: ignore[no-untyped-def]
    router, _, _ = gateway
    a, b = upstreams
    await router.publish(Route(KEY, (target("main", 100, a.address),)))
    a.hold.clear()
    slow = asyncio.create_task(who(http))
    await asyncio.sleep(0.2)
    await router.publish(Route(KEY, (Target("main", "r-new", WireProtocol.OPEN_INFERENCE, 100, (b.address,)),)))
    assert await who(http) == "b"
    draining = asyncio.create_task(router.drain(KEY, "r-main"))
    await asyncio.sleep(0.2)
    assert not draining.done()
    a.hold.set()
    assert await slow == "a"
    await asyncio.wait_for(draining, 10)


async def test_changes_under_load_fail_no_request(gateway, upstreams, http) -> None:  # type: ignore[no-untyped-def]
    router, _, _ = gateway
    a, b = upstreams
    await router.publish(Route(KEY, (target("main", 100, a.address),)))
    stop = asyncio.Event()
    served = 0

    async def load() -> None:
        nonlocal served
        while not stop.is_set():
            await who(http)
            served += 1

    clients = [asyncio.create_task(load()) for _ in range(8)]
    for index in range(30):
        new = Target("main", f"r{index}", WireProtocol.OPEN_INFERENCE, 60, (a.address,))
        await router.publish(Route(KEY, (new, target("canary", 40, b.address))))
        await router.drain(KEY, f"r{index - 1}")
    stop.set()
    await asyncio.gather(*clients)
    assert served > 100


async def test_a_restarted_control_plane_adopts_the_gateway_and_its_routes(gateway, upstreams, http) -> None:  # type: ignore[no-untyped-def]
    router, config, processes = gateway
    route = Route(KEY, (target("main", 100, upstreams[0].address, headers=()),))
    await router.publish(route)
    pid = processes.get("gateway").pid
    again = EnvoyRouter(router._directory, config, processes, BINARY)
    await again.start()
    assert await again.routes() == (route,)
    assert processes.get("gateway").pid == pid
    assert await who(http) == "a"
