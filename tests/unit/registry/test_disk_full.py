"""A full disk: a typed error, nothing half-written, and pushes go on when there is room again, without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from klever.errors import ExhaustedError
from klever.oci.digest import Digest
from klever.registry.registry import Registry
from tests.unit.conftest import MakeDisk
from tests.unit.registry.client import Client, Served, manifest, serving

MIB = 1 << 20
FULL = (507, "DISK_FULL")


@pytest.fixture
def small_disk(make_disk: MakeDisk) -> Path:
    return make_disk("56m")


@pytest.fixture
async def served(small_disk: Path) -> AsyncIterator[Served]:
    async with serving(small_disk / "registry") as served:
        yield served


async def fill_with_blobs(client: Client, size: int) -> dict[Digest, bytes]:
    """Push blobs until there is no room; returns what was acknowledged."""
    random, done = Random(size), dict[Digest, bytes]()
    while True:
        content = random.randbytes(size)
        answer = await client.put_blob("a/b", content)
        if answer.status != 201:
            assert answer.refusal == FULL
            return done
        done[Digest.of(content)] = content


async def test_a_blob_that_does_not_fit_leaves_nothing(served: Served) -> None:
    client, big = served.client, Random(5).randbytes(MIB) * 80
    await client.push("a/b", "v1", b"config")
    before = served.files()
    assert (await client.put_blob("a/b", big)).refusal == FULL
    assert served.files() == before

    location = await client.start_upload("a/b")
    assert (await client.ask("PATCH", location, big[: 10 * MIB])).status == 202
    assert (await client.ask("PATCH", location, big)).refusal == FULL
    state = await client.ask("GET", location)  # what was acknowledged of it stays
    assert state.headers["Range"] == f"0-{10 * MIB - 1}"
    rest = big[10 * MIB : 30 * MIB]
    digest = Digest.of(big[: 30 * MIB])
    assert (await client.ask("PUT", f"{location}?digest={digest}", rest)).status == 201
    assert (await client.get_blob("a/b", digest)).body == big[: 30 * MIB]
    assert (await client.get_manifest("a/b", "v1")).status == 200


async def test_there_is_room_again_after_a_deletion(served: Served) -> None:
    client = served.client
    done = await fill_with_blobs(client, 3 * MIB)
    assert len(done) > 10
    assert served.files() == sorted(f"blobs/sha256/{digest.hex}" for digest in done)
    for digest, content in done.items():
        assert (await client.get_blob("a/b", digest)).body == content
    assert await served.registry.scrub() == []

    assert (await client.ask("DELETE", f"/v2/a/b/blobs/{done.popitem()[0]}")).status == 202
    await client.push("a/b", "v1", b"config", Random(6).randbytes(2 * MIB))
    assert (await client.get_manifest("a/b", "v1")).status == 200


async def test_the_last_bytes_of_a_disk(served: Served) -> None:
    """Filled by small things, the database itself has no room left."""
    client = served.client
    done = await fill_with_blobs(client, MIB)
    config, *_ = done.values()
    tags = set[str]()
    for number in range(10_000):
        content = manifest(config) + b" " * (1000 * (number % 50) + number)
        answer = await client.put_manifest("a/b", f"v{number}", content)
        if answer.status != 201:
            assert answer.refusal == FULL
            break
        tags.add(f"v{number}")
    assert set((await client.ask("GET", "/v2/a/b/tags/list")).json["tags"]) == tags
    assert len(tags) > 10

    free = next(digest for digest in done if done[digest] != config)
    assert (await client.ask("DELETE", f"/v2/a/b/blobs/{free}")).status == 202  # needs none itself
    del done[free]
    await client.push("a/b", "late", b"late config")
    tags.add("late")
    assert set((await client.ask("GET", "/v2/a/b/tags/list")).json["tags"]) == tags
    for digest, content in done.items():
        assert (await client.get_blob("a/b", digest)).body == content
    assert await served.registry.scrub() == []


async def test_a_registry_that_finds_a_full_disk_says_so(small_disk: Path) -> None:
    root = small_disk / "registry"
    async with serving(root) as served:
        done = await fill_with_blobs(served.client, MIB)
    with suppress(OSError), (small_disk / "rest").open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(ExhaustedError, match="disk is full"):
        await Registry.open(root)
    (small_disk / "rest").unlink()
    async with serving(root) as served:
        for digest, content in done.items():
            assert (await served.client.get_blob("a/b", digest)).body == content
