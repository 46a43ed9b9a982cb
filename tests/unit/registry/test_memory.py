"""What bodies take of memory is bounded, and comes back after a burst."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from klever.oci import mediatypes
from tests.unit.registry.client import Client, Process, manifest, session
from tests.unit.registry.test_bounds import connection

pytestmark = pytest.mark.slow

MIB = 1 << 20
ROOM = 120 * MIB
"""What a burst may leave behind: without a release it leaves some 225 MiB."""


async def test_clients_that_do_not_read_take_little_memory(tmp_path: Path) -> None:
    """500 clients that asked for a manifest of 3 MiB, and read nothing, took 1.5 GiB."""
    with Process(tmp_path / "registry") as process:
        async with session() as http:
            client = Client(http, process.address)
            assert (await client.put_blob("a/b", b"{}")).status == 201
            document = json.loads(manifest(b"{}")) | {"annotations": {"text": "x" * (3 * MIB)}}
            assert (await client.put_manifest("a/b", "v1", json.dumps(document).encode())).status == 201
            assert (await client.put_manifest("a/b", "small", manifest(b"{}"))).status == 201
            before = process.resident()
            request = f"GET /v2/a/b/manifests/v1 HTTP/1.1\r\nHost: {client.address}\r\n\r\n".encode()
            async with AsyncExitStack() as held:
                for _ in range(200):
                    _, writer = await held.enter_async_context(connection(client))
                    writer.write(request * 10)  # the sockets hold some of the answers
                async with asyncio.timeout(60):
                    while (refused := await client.anonymous().ask("GET", "/v2/a/b/manifests/v1")).status == 200:
                        pass
                assert refused.refusal == (429, "TOOMANYREQUESTS")
                assert (await client.anonymous().ask("GET", "/v2/a/b/manifests/small")).status == 200
                assert (await client.ask("GET", "/v2/a/b/manifests/v1")).status == 200  # with the token, there is room
                assert process.resident() < before + ROOM


async def test_memory_comes_back_after_a_burst(tmp_path: Path) -> None:
    annotations = {f"key{number}": "x" * 50 for number in range(55_000)}
    config = {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 1}
    document = {"schemaVersion": 2, "mediaType": mediatypes.IMAGE_MANIFEST, "config": config, "layers": []}
    content = json.dumps(document | {"annotations": annotations}).encode()
    assert 3 * MIB < len(content) < 4 * MIB
    with Process(tmp_path / "registry") as process:
        before = process.resident()
        async with session() as http:
            client = Client(http, process.address)
            pushes = [client.put_manifest("a/b", f"v{number}", content) for number in range(60)]
            answers = await asyncio.gather(*pushes)
            assert {answer.status for answer in answers} <= {400, 429}
            blobs = [Random(number).randbytes(2 * MIB) for number in range(50)]
            assert {answer.status for answer in await asyncio.gather(*(client.put_blob("a/b", b) for b in blobs))} == {
                201
            }
            async with asyncio.timeout(60):
                while process.resident() > before + ROOM:
                    assert (await client.ask("GET", "/v2/")).status == 200
