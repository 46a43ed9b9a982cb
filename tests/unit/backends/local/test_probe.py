from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from klever.backends.local import probe
from klever.backends.local.probe import Prober
from klever.runtimes import Probe


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with suppress(ConnectionError):
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()


async def test_an_endless_answer_is_not_read_to_the_end_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_MAX_READ", 1 << 20)
    async with await asyncio.start_server(endless, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        health = await Prober().ask(f"{host}:{port}", Probe("/"), timeout_s=600)
    assert not health.healthy
    assert "exceeds 1 MiB" in health.message
