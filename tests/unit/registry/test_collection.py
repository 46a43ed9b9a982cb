"""The collection of what nobody needs never takes what somebody does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random

import pytest

from klever.disk import fsync
from klever.oci.digest import Digest
from klever.registry import content
from tests.unit.registry.client import Client, Served, manifest, serving

pytestmark = pytest.mark.slow

GRACE = 0.3
ROUNDS = 25
PUSHERS = 4
CONFIG = b"{}"
LAYERS = [Random(n).randbytes(2000 + n) for n in range(12)]  # few, so that all share and delete the same


async def ensure_blob(client: Client, name: str, blob: bytes, random: Random) -> None:
    """As clients do: push what is not there, or mount it."""
    digest = Digest.of(blob)
    if (await client.ask("HEAD", f"/v2/{name}/blobs/{digest}")).status == 200:
        return
    source = f"p/{random.randrange(PUSHERS)}"
    mounted = await client.ask("POST", f"/v2/{name}/blobs/uploads/?mount={digest}&from={source}")
    assert mounted.status in {201, 202}
    if mounted.status == 202:
        finished = await client.ask("PUT", f"{mounted.headers['Location']}?digest={digest}", blob)
        assert finished.status == 201


async def push(client: Client, name: str, tag: str, layers: list[bytes], random: Random) -> None:
    """Push until it is taken: with so little grace a blob may go before its manifest comes."""
    while True:
        for blob in (CONFIG, *layers):
            await ensure_blob(client, name, blob, random)
        answer = await client.put_manifest(name, tag, manifest(CONFIG, *layers))
        if answer.status == 201:
            return
        assert answer.refusal == (400, "MANIFEST_BLOB_UNKNOWN")


async def push_and_delete(client: Client, name: str) -> int:
    """Push, read all back, sometimes delete; returns how many artifacts were read whole."""
    random, read, kept = Random(name), 0, dict[str, list[bytes]]()
    for number in range(ROUNDS):
        kept[f"v{number}"] = random.sample(LAYERS, 3)
        await push(client, name, f"v{number}", kept[f"v{number}"], random)
        await client.put_blob(name, random.randbytes(100))  # which no manifest will need
        tag = random.choice(list(kept))
        for blob in (CONFIG, *kept[tag]):
            answer = await client.get_blob(name, Digest.of(blob))
            assert (answer.status, answer.body) == (200, blob), f"{name}:{tag} lost a blob"
            read += 1
        if random.random() < 0.6:
            gone = kept.pop(tag)
            digest = Digest.of(manifest(CONFIG, *gone))
            for same in [other for other, layers in kept.items() if layers == gone]:
                del kept[same]
            assert (await client.ask("DELETE", f"/v2/{name}/manifests/{digest}")).status == 202
            answer = await client.ask("DELETE", f"/v2/{name}/blobs/{Digest.of(gone[0])}")
            assert answer.status in {202, 404, 405}
    for tag, layers in kept.items():
        assert (await client.get_manifest(name, tag)).body == manifest(CONFIG, *layers)
        for blob in (CONFIG, *layers):
            assert (await client.get_blob(name, Digest.of(blob))).body == blob
    return read


async def test_pushers_deleters_and_collections_side_by_side(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry", grace=GRACE) as served:
        removed, pushing = 0, True

        async def collect() -> None:
            nonlocal removed
            while pushing:
                removed += (await served.registry.blobs.collect()).blobs

        collecting = asyncio.create_task(collect())
        scrubbing = asyncio.create_task(served.registry.scrub())
        try:
            read = await asyncio.gather(*(push_and_delete(served.client, f"p/{n}") for n in range(PUSHERS)))
        finally:
            pushing = False
            await asyncio.wait([collecting, scrubbing])
        await collecting
        assert await scrubbing == []
        assert sum(read) == PUSHERS * ROUNDS * 4
        assert removed > 0
        await delete_all(served.client)
        assert await left_after_collections(served) == []


async def delete_all(client: Client) -> None:
    for name in (await client.ask("GET", "/v2/_catalog")).json["repositories"]:
        for tag in (await client.ask("GET", f"/v2/{name}/tags/list")).json["tags"]:
            digest = (await client.ask("HEAD", f"/v2/{name}/manifests/{tag}")).headers.get("Docker-Content-Digest")
            assert (await client.ask("DELETE", f"/v2/{name}/manifests/{digest}")).status in {202, 404}
    assert (await client.ask("GET", "/v2/_catalog")).json == {"repositories": []}


async def left_after_collections(served: Served) -> list[str]:
    async with asyncio.timeout(10):  # the grace has to pass
        while served.files():
            await served.registry.blobs.collect()
    return served.files()


async def test_grace_counts_from_the_last_time_that_a_blob_was_asked_for(tmp_path: Path) -> None:
    now = 1000.0
    async with serving(tmp_path / "registry", grace=100, clock=lambda: now) as served:
        for blob in (b"pushed", b"asked for", b"mounted", b"needed"):
            await served.client.put_blob("a/b", blob)
        await served.client.put_manifest("a/b", "v1", manifest(b"needed"))
        now += 90
        await served.client.ask("HEAD", f"/v2/a/b/blobs/{Digest.of(b'asked for')}")
        await served.client.ask("POST", f"/v2/c/d/blobs/uploads/?mount={Digest.of(b'mounted')}&from=a/b")
        now += 20
        collected = await served.registry.blobs.collect()
        assert (collected.links, collected.blobs, collected.bytes) == (2, 1, len(b"pushed"))
        assert (await served.client.get_blob("a/b", Digest.of(b"pushed"))).status == 404
        assert (await served.client.get_blob("a/b", Digest.of(b"asked for"))).body == b"asked for"
        assert (await served.client.get_blob("a/b", Digest.of(b"mounted"))).status == 404
        assert (await served.client.get_blob("c/d", Digest.of(b"mounted"))).body == b"mounted"
        now += 1000
        await served.registry.blobs.collect()
        assert served.files() == [f"blobs/sha256/{Digest.of(b'needed').hex}"]


def slow_fsync(directory: Path) -> None:
    """As on a busy disk; a name is seen by others before it is durable."""
    fsync(directory)
    time.sleep(0.02)


async def test_a_push_during_the_collection_keeps_the_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "fsync", slow_fsync)
    now = 0.0
    async with serving(tmp_path / "registry", grace=100, clock=lambda: now) as served:
        for _ in range(10):
            now += 1000  # what was pushed before may go
            push = asyncio.create_task(served.client.put_blob("a/b", CONFIG))
            while not push.done():
                await served.registry.blobs.collect()
            assert (await served.client.get_blob("a/b", Digest.of(CONFIG))).body == CONFIG


async def test_a_blob_that_is_being_read_is_read_to_its_end(served: Served) -> None:
    blob = bytes(32 << 20)
    await served.client.put_blob("a/b", blob)
    path = f"/v2/a/b/blobs/{Digest.of(blob)}"
    async with served.client.http.get(f"http://{served.client.address}{path}") as response:
        begin = await response.content.read(1000)
        assert (await served.client.ask("DELETE", path)).status == 202
        assert served.files() == []
        assert len(begin + await response.read()) == len(blob)
