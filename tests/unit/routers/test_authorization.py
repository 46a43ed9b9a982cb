"""Who may pass the gateway beyond loopback: real Envoy, which asks the real access server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web

from klever.process import ProcessManager
from klever.routers import Route, RouteKey, Target
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.runtimes.protocols import OPEN_INFERENCE
from tests.unit.routers.test_envoy import BINARY, DESCRIPTORS, access_command, free_port

pytestmark = pytest.mark.envoy
INFER = "/seldon/team/digits/v2/models/digits/infer"
API = "/api/v1alpha1/namespaces/team/servings"
BEARER = {"Authorization": "Bearer secret"}


async def _echo(request: web.Request) -> web.Response:
    return web.json_response({name.lower(): value for name, value in request.headers.items()})


@dataclass
class Rig:
    gateway: Gateway
    processes: ProcessManager
    router: EnvoyRouter
    http: aiohttp.ClientSession
    token_file: Path

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(self.gateway.local_url + path, headers=headers) as response:
            return response.status, await response.text()

    async def rpc(self, *metadata: tuple[str, str]) -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.gateway.port}") as channel:
            infer: Any = channel.unary_unary  # its types demand serializers, which bytes need not have
            call = infer("/inference.GRPCInferenceService/ModelInfer")(b"", timeout=20, metadata=metadata)
            code: grpc.StatusCode = await call.code()
            return code

    async def kill_access(self) -> None:
        """Kill the access server; returns when its shim has started another."""
        before = self.processes.get("access")
        assert before is not None
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        while not self._restarted(before.restarts):  # noqa: ASYNC110 - a restart has no event
            await asyncio.sleep(0.02)

    def _restarted(self, restarts: int) -> bool:
        state = self.processes.get("access")
        return state is not None and state.restarts > restarts and state.pid is not None


@pytest.fixture
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, own_address: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    """A gateway beyond loopback. Its model and its registry answer with the headers that they got.

    The parameter, if any, says how long a request waits for the access server.
    """
    if wait := getattr(request, "param", ""):
        monkeypatch.setattr("klever.routers.envoy.authorization._WAIT", wait)
    api, registry, admin, access = (tmp_path / f"{name}.sock" for name in ("api", "registry", "admin", "access"))
    gateway = Gateway(own_address, free_port(), api, registry, admin, access, DESCRIPTORS)
    token_file = tmp_path / "token"
    token_file.write_text("secret\n")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _echo)
    runner = web.AppRunner(app)
    await runner.setup()
    for socket in ("registry.sock", "model.sock"):
        await web.UnixSite(runner, str(tmp_path / socket)).start()
    processes = ProcessManager(tmp_path / "processes")
    router = EnvoyRouter(tmp_path / "envoy", gateway, processes, BINARY, access_command(access, token_file))
    await router.start()
    model = (f"unix:{tmp_path}/model.sock",)
    await router.publish(Route(RouteKey("team", "digits"), (Target("main", "w", OPEN_INFERENCE, 100, model, model),)))
    async with aiohttp.ClientSession() as http:
        yield Rig(gateway, processes, router, http, token_file)
    await router.stop()
    await runner.cleanup()


async def test_everything_but_the_registry_needs_the_token(rig: Rig) -> None:
    for path in (INFER, API, "/", "/nothing"):
        for headers in ({}, {"Authorization": "Bearer guess"}):
            status, body = await rig.get(path, **headers)
            assert status == 401, path
            assert "token" in json.loads(body)["message" if path == API else "error"]
    assert (await rig.get(INFER, **BEARER))[0] == 200
    assert (await rig.get("/", **BEARER))[0] == 200
    assert (await rig.get("/v2/"))[0] == 200  # the registry asks for itself


async def test_a_grpc_client_gets_a_status(rig: Rig) -> None:
    named = (("seldon", "digits"), ("namespace", "team"))
    assert await rig.rpc(*named) is grpc.StatusCode.UNAUTHENTICATED
    assert await rig.rpc(*named, ("authorization", "Bearer secret")) is not grpc.StatusCode.UNAUTHENTICATED


async def test_the_model_does_not_see_the_token_and_the_registry_does(rig: Rig) -> None:
    _, seen = await rig.get(INFER, **BEARER, **{"X-Mine": "kept"})
    assert "authorization" not in json.loads(seen)
    assert json.loads(seen)["x-mine"] == "kept"
    _, seen = await rig.get("/v2/", **BEARER)
    assert json.loads(seen)["authorization"] == "Bearer secret"


async def test_no_file_of_envoy_holds_the_token(rig: Rig, tmp_path: Path) -> None:
    assert not [path for path in (tmp_path / "envoy").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


async def test_a_replaced_token_is_refused_at_once(rig: Rig) -> None:
    rig.token_file.write_text("another")
    assert (await rig.get(INFER, **BEARER))[0] == 401
    assert (await rig.get(INFER, Authorization="Bearer another"))[0] == 200


async def test_requests_wait_for_an_access_server_that_was_killed(rig: Rig) -> None:
    async def ask() -> list[int]:
        return [(await rig.get(INFER, **BEARER))[0] for _ in range(50)]

    clients = asyncio.gather(*(ask() for _ in range(8)))
    await rig.kill_access()
    await rig.kill_access()
    assert await clients == [[200] * 50] * 8


async def test_an_access_server_that_hangs_is_restarted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("klever.routers.envoy.watchdog._LOOK_SECONDS", 0.1)
    monkeypatch.setattr("klever.routers.envoy.processes.ANSWER_SECONDS", 0.3)
    before = rig.processes.get("access")
    assert before is not None
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    watching = asyncio.create_task(rig.router.look_after())
    assert (await rig.get(INFER, **BEARER))[0] == 200  # it waited
    watching.cancel()
    await asyncio.wait([watching])
    after = rig.processes.get("access")
    assert after is not None
    assert after.pid != before.pid


async def test_a_restarted_control_plane_adopts_the_access_server(rig: Rig, tmp_path: Path) -> None:
    before = rig.processes.get("access")
    command = before.spec.argv if before else ()
    again = EnvoyRouter(tmp_path / "envoy", rig.gateway, rig.processes, BINARY, command)
    await again.start()
    assert rig.processes.get("access") == before
    assert (await rig.get(INFER, **BEARER))[0] == 200


@pytest.mark.parametrize("rig", ["1s"], indirect=True)
async def test_without_an_access_server_nobody_passes(rig: Rig) -> None:
    await rig.processes.stop("access")
    status, body = await rig.get(INFER, **BEARER)
    assert status == 503
    assert "try again" in json.loads(body)["error"]
    assert await rig.rpc(("seldon", "digits"), ("namespace", "team")) is grpc.StatusCode.UNAVAILABLE
