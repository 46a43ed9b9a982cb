"""How what runs on this machine ends: nothing is cut off, and nothing is left."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from klever.artifacts import model
from klever.backends import PredictorWorkload, ServingKey, Workload
from klever.catalog.oci import OciCatalogue
from klever.cmd.data import DataDirectory
from klever.cmd.local import local_platform, make_gateway
from klever.cmd.options import Options
from klever.cmd.platform import Platform
from klever.cmd.provisions import EmbeddedRegistry, Provisions
from klever.limits import Limits
from klever.oci.layout import Layout
from klever.oci.registries import Endpoint, Registries
from klever.process import ProcessManager, ProcessSpec
from tests.contract.router import INFER, KEY, Upstream, route, target
from tests.unit.routers.test_envoy import free_port

pytestmark = pytest.mark.envoy

Open = Callable[[], AbstractAsyncContextManager[Platform]]
DIGEST = f"sha256:{'b' * 64}"


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path / "data")
    data.prepare()
    return data


@pytest.fixture
def open_it(tmp_path: Path, data: DataDirectory) -> Open:
    (data.root / "token").write_text("secret")
    options = Options(
        host="127.0.0.1",
        port=free_port(),
        names=(),
        keep_serving=False,
        environments=tmp_path / "environments",
        cache_bytes=1 << 30,
        path="/usr/bin:/bin",
    )
    registries = Registries.parse({"registries": {}}, platform=Endpoint("", "http://127.0.0.1:1"))
    provisions = Provisions(EmbeddedRegistry(tmp_path / "registry.sock", "secret"), {}, Limits())
    catalogue = OciCatalogue(registries, Layout(data.metadata))
    gateway = make_gateway(data, options)
    return lambda: local_platform(data, options, gateway, registries, catalogue, provisions=provisions)


async def test_a_gateway_is_not_started_again_while_others_take_long_to_end(
    data: DataDirectory, open_it: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like a runtime that takes longer to answer its last requests than the watchdog waits for the gateway."""
    monkeypatch.setattr("klever.routers.envoy.watchdog._LOOK_SECONDS", 0.1)
    slow = """if True:
        import signal, time
        signal.signal(signal.SIGTERM, lambda *_: time.sleep(2))
        print("up", flush=True)
        signal.pause()
    """
    processes = ProcessManager(data.processes)
    async with open_it():
        await processes.start(ProcessSpec("serving.slow", (sys.executable, "-c", slow)))
        assert await anext(processes.logs("serving.slow", follow=True)) == "up"
    assert [state.spec.id for state in processes.list() if state.phase != "Exited"] == []


async def test_a_request_under_way_is_answered(open_it: Open) -> None:
    upstream = Upstream("a")
    runner = await upstream.start()
    async with aiohttp.ClientSession() as http:
        async with open_it() as opened:
            await opened.router.publish(route(target("main", 100, upstream)))
            upstream.answers.clear()
            asked = asyncio.create_task(_post(http, opened.router.url(KEY) + INFER))
            await upstream.asked.wait()
            asyncio.get_running_loop().call_later(0.5, upstream.answers.set)
        assert await asked == 200
    await runner.cleanup()


async def _post(http: aiohttp.ClientSession, url: str) -> int:
    async with http.post(url, json={}) as response:
        return response.status


async def test_a_pull_under_way_is_given_up(open_it: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    pulling = asyncio.Event()
    loop = asyncio.get_running_loop()

    def pull(_reference: object, _layout: object, _client: object, *, progress: Callable[[int, int], None]) -> None:
        loop.call_soon_threadsafe(pulling.set)
        for done in range(600):  # 60 s: some gigabytes
            time.sleep(0.1)  # a slow registry: this is its thread, which nothing else waits in
            progress(done, 600)

    monkeypatch.setattr(model, "pull", pull)
    large = PredictorWorkload("main", "r1", 1, "triton", model=f"team/m@{DIGEST}", content=DIGEST, format="ONNX")
    async with asyncio.timeout(40), open_it() as opened:
        await opened.backend.ensure(Workload(ServingKey("team", "s"), "uid", (large,)))
        await pulling.wait()
