"""What the gateway does with the headers of requests, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from klever.process import ProcessManager
from klever.routers.envoy import EnvoyRouter, Gateway
from tests.unit.routers.test_envoy import BINARY, DESCRIPTORS, free_port

pytestmark = pytest.mark.envoy


async def _echo(request: web.Request) -> web.Response:
    return web.json_response({name.lower(): value for name, value in request.headers.items()})


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose registry answers with the headers that it got."""
    api, registry, admin, access = (tmp_path / f"{name}.sock" for name in ("api", "registry", "admin", "access"))
    config = Gateway("127.0.0.1", free_port(), api, registry, admin, access, DESCRIPTORS)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(registry)).start()
    router = EnvoyRouter(tmp_path / "envoy", config, ProcessManager(tmp_path / "processes"), BINARY, ())
    await router.start()
    yield config
    await router.stop()
    await runner.cleanup()


async def ask(gateway: Gateway, path: str = "/v2/", *headers: str) -> tuple[int, str]:
    """Send a request with exactly these headers; returns status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    lines = [f"GET {path} HTTP/1.1", f"host: localhost:{gateway.port}", "connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    body = await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body.decode()


async def test_headers_that_are_too_large_end_at_the_gateway(gateway: Gateway) -> None:
    for size in (*range(8000, 8250, 7), 9_000, 30_000, 60_000):
        value = "a" * size
        tries = (
            ("/v2/", f"x: {value}"),
            ("/v2/", f"x-forwarded-for: {value}"),
            (f"/v2/_catalog?{value}", "x: y"),
            ("/v2/", *(f"x-{number}: {value[: size // 50]}" for number in range(50))),
        )
        for path, *headers in tries:
            status, body = await ask(gateway, path, *headers)
            assert status in ((200, 431) if size < 8192 else (431,)), (headers[0][:20], body)


async def test_very_many_headers_end_at_the_gateway(gateway: Gateway) -> None:
    for count in (10, 80, 95, 100, 110, 130, 200):
        status, body = await ask(gateway, "/v2/", *(f"x-{number}: y" for number in range(count)))
        assert status == 200 if count < 90 else status in (200, 431), body


async def test_the_platform_is_told_who_connected(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as http:
        for sent in ({}, {"x-forwarded-for": "192.0.2.7"}, {"x-forwarded-for": "192.0.2.7, 192.0.2.8"}):
            async with http.get(f"{gateway.url}/v2/", headers=sent) as response:
                assert (await response.json())["x-forwarded-for"] == "127.0.0.1"
