"""Large requests that are held half sent do not exhaust the gateway, and the platform answers afterwards."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from klever.limits import DEFAULTS
from tests.attacks.http2 import HeldRequest
from tests.attacks.triton import GRPC, METADATA, NAME, deploy_echo, infer, processes
from tests.e2e.platform import Platform, until

SIZE = 60 << 20
REQUESTS = DEFAULTS.gateway_bytes // SIZE + 6
PIECE = b"\x08\x01" * 8192
"""Fields that a message may have any number of."""


def peak(platform: Platform) -> int:
    """The most memory that the platform's Envoy has had, in bytes."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            status = (process / "status").read_text()
        except OSError:
            continue
        if command.partition(b"\0")[0].endswith(b"/envoy") and str(platform.data).encode() in command:
            return int(status.partition("VmHWM:")[2].split()[0]) << 10
    raise AssertionError("no Envoy runs")


async def _http(platform: Platform, sent: asyncio.Barrier) -> None:
    """Send all but the last bytes of a request, and hold it until all are sent or refused."""
    _, writer = await asyncio.open_connection("127.0.0.1", platform.port)
    head = f"POST /seldon/default/{NAME}/v2/models/{NAME}/infer HTTP/1.1\r\nhost: localhost:{platform.port}\r\n"
    writer.write(f"{head}content-length: {SIZE}\r\n\r\n".encode())
    with suppress(OSError):  # refused
        for _ in range(SIZE // len(PIECE) - 1):
            writer.write(PIECE)
            await writer.drain()
    await sent.wait()
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def _grpc(platform: Platform, method: str, sent: asyncio.Barrier) -> None:
    headers = (("content-type", "application/grpc"), ("te", "trailers"), *METADATA)
    client = await HeldRequest.post(platform.port, f"{GRPC}/{method}", *headers)
    await client.send([b"\0" + SIZE.to_bytes(4)])
    await client.send(PIECE for _ in range(SIZE // len(PIECE) - 1))
    await sent.wait()
    await client.close()


async def _all(platform: Platform, how: str) -> None:
    sent = asyncio.Barrier(REQUESTS)
    sends = (_http(platform, sent) if how == "HTTP" else _grpc(platform, how, sent) for _ in range(REQUESTS))
    await asyncio.gather(*sends)


@pytest.fixture
def echo(platform: Platform) -> Platform:
    platform.start()
    deploy_echo(platform)
    return platform


async def _hold(platform: Platform, until_: float) -> None:
    """Send a large request, hold it with a byte now and then, and send it again if it is ended."""
    head = f"POST /seldon/default/{NAME}/v2/models/{NAME}/infer HTTP/1.1\r\nhost: localhost:{platform.port}\r\n"
    while time.monotonic() < until_:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
            writer.write(f"{head}content-length: {SIZE}\r\n\r\n".encode())
            for _ in range(SIZE // len(PIECE) - 1):
                writer.write(PIECE)
                await writer.drain()
            while time.monotonic() < until_ and not reader.at_eof():
                await asyncio.sleep(0.5)
                writer.write(b"x")
                await writer.drain()
            writer.transport.abort()


async def _succeeded(platform: Platform, until_: float) -> float:
    """Return the share of small requests that succeed meanwhile, once large ones are under way."""
    await asyncio.sleep(3)  # what comes meanwhile is not of interest
    results = list[bool]()

    def ask() -> bool:
        try:
            infer(platform)
            return platform.http("GET", "/api/v1alpha1/namespaces/default/servings")[0] == 200
        except (AssertionError, KeyError, OSError, HTTPException):  # refused, or ended
            return False

    while time.monotonic() < until_:
        results.append(await asyncio.to_thread(ask))
    return sum(results) / len(results)


def test_small_requests_pass_while_large_ones_are_held(echo: Platform) -> None:
    async def attack() -> float:
        end = time.monotonic() + 14
        shares = await asyncio.gather(_succeeded(echo, end), *(_hold(echo, end) for _ in range(24)))
        return float(shares[0] or 0)

    assert asyncio.run(attack()) > 0.8


@pytest.mark.parametrize("how", ["HTTP", "ModelInfer", "ModelStreamInfer"])
def test_large_requests_that_are_held(echo: Platform, how: str) -> None:
    before = processes(echo)
    asyncio.run(_all(echo, how))
    assert peak(echo) < DEFAULTS.gateway_bytes

    def answered() -> bool:
        try:
            infer(echo)
        except (AssertionError, OSError):
            return False
        return True

    until(answered)
    assert processes(echo) == before
