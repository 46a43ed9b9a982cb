"""The server around the registry: where it listens, how it stops, its upkeep, what it says of its faults."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from klever.errors import FailedPreconditionError, UnavailableError
from klever.oci.digest import Digest
from klever.registry.app import application
from klever.registry.metrics import Metrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer
from tests.unit.registry.client import BY_TOKEN, Client, Process, Served, files, session

CONTENT = b"content" * 500_000
DIGEST = Digest.of(CONTENT)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = await Registry.open(tmp_path / "registry", grace=0)
    yield registry
    await registry.close()


def make_server(
    registry: Registry, collectors: CollectorRegistry | None = None, upkeep: float = 3600
) -> RegistryServer:
    app = application(registry, BY_TOKEN, Metrics(collectors or CollectorRegistry()))
    return RegistryServer(registry, app, upkeep=upkeep)


async def test_it_listens_on_a_unix_socket_that_a_killed_one_left(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "registry.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = make_server(registry)
    assert await server.start(path) == str(path)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http:
        assert (await Client(http, "registry").ask("GET", "/v2/")).status == 200
    await server.stop()


async def test_a_port_that_is_taken_is_said(registry: Registry) -> None:
    server = make_server(registry)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(FailedPreconditionError, match="cannot listen"):
        await server.start(other.getsockname())


async def test_told_to_stop_it_lets_a_running_push_end(tmp_path: Path) -> None:
    async with session() as http:
        with Process(tmp_path / "registry") as process:
            client = Client(http, process.address)
            location = await client.start_upload("a/b")

            async def body() -> AsyncIterator[bytes]:
                yield CONTENT[: 2 << 20]
                while (await client.ask("GET", location)).headers["Range"] == "0-0":
                    pass
                process.terminate()
                while not await refuses(process.address):
                    pass
                yield CONTENT[2 << 20 :]

            assert (await client.ask("PUT", f"{location}?digest={DIGEST}", body())).status == 201
            assert await asyncio.to_thread(process.wait) == 0
    assert files(tmp_path / "registry") == [f"blobs/sha256/{DIGEST.hex}"]


async def refuses(address: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address.split(":"))
    except ConnectionError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def test_its_upkeep_ends_old_uploads_and_collects(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(registry, upkeep=0.01)
    collect, failures = registry.blobs.collect, iter([UnavailableError("a disk that fails once")])

    async def fail_once() -> object:
        for failure in failures:
            raise failure
        return await collect()

    monkeypatch.setattr(registry.blobs, "collect", fail_once)
    address = await server.start(("127.0.0.1", 0))
    async with session() as http:
        client = Client(http, address)
        await client.put_blob("a/b", CONTENT)
        fresh, old = await client.start_upload("a/b"), await client.start_upload("a/b")
        os.utime(next((tmp_path / "registry/uploads").glob(f"{old.rpartition('/')[2]}*")), (0, 0))
        while len(files(tmp_path / "registry")) > 1:
            assert (await client.ask("GET", "/v2/")).status == 200
        assert (await client.ask("GET", old)).refusal == (404, "BLOB_UPLOAD_UNKNOWN")
        assert (await client.ask("GET", fresh)).status == 204
    await server.stop()


async def test_its_upkeep_reads_everything_now_and_then(tmp_path: Path) -> None:
    registry = await Registry.open(tmp_path / "registry")
    server = make_server(registry, upkeep=0.01)
    async with session() as http:
        client = Client(http, await server.start(("127.0.0.1", 0)))
        await client.push("a/b", "v1", CONTENT)
        blob = tmp_path / "registry/blobs/sha256" / DIGEST.hex
        content = bytearray(blob.read_bytes())
        content[1000] ^= 1
        blob.write_bytes(content)
        os.utime(tmp_path / "registry/scrubbed", (0, 0))  # that was long ago
        async with asyncio.timeout(30):
            while not registry.scrubbed_at():
                assert (await client.ask("GET", "/v2/")).status == 200
        assert registry.blobs.damaged == 1
        assert (await client.get_blob("a/b", DIGEST)).status == 404
    await server.stop()
    await registry.close()


async def test_its_own_faults_are_logged_and_not_told(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a path or a secret")

    monkeypatch.setattr(served.registry, "repositories", fail)
    answer = await served.client.ask("GET", "/v2/_catalog")
    assert answer.refusal == (500, "UNKNOWN")
    assert b"secret" not in answer.body
    assert "a path or a secret" in caplog.text


@pytest.mark.parametrize("path", ["/", "/v1/", "/v2", "/v2/a/b", "/v2/a/b/blobs/", "/v2/a/b/manifests/", "/metrics"])
async def test_an_unknown_path_is_not_found(client: Client, path: str) -> None:
    assert (await client.ask("GET", path)).refusal == (404, "UNSUPPORTED")


async def test_it_counts_what_it_answers(registry: Registry) -> None:
    collectors = CollectorRegistry()
    server = make_server(registry, collectors)
    async with session() as http:
        client = Client(http, await server.start(("127.0.0.1", 0)))
        await client.push("a/b", "v1", CONTENT)
        await client.get_blob("a/b", DIGEST)
        answer = await client.ask("DELETE", "/v2/")
        assert (answer.refusal, answer.headers["Allow"]) == ((405, "UNSUPPORTED"), "GET")
    await server.stop()
    counted = generate_latest(collectors).decode().splitlines()
    assert 'klever_registry_requests_total{code="405",method="DELETE"} 1.0' in counted
    assert 'klever_registry_requests_total{code="201",method="PUT"} 1.0' in counted
    sent = [line for line in counted if line.startswith('klever_registry_transferred_bytes_total{direction="out"}')]
    assert float(sent[0].split()[1]) >= len(CONTENT)
