"""A killed registry keeps every blob that it acknowledged with 201, resumes open uploads, and detects damage."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import aiohttp
import apsw
import pytest

from klever.errors import FailedPreconditionError, IntegrityError, NotFoundError
from klever.oci import mediatypes
from klever.oci.blobs import BlobWriter
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.manifest import Descriptor
from klever.oci.registries import Endpoint
from klever.registry.index import _SCHEMAS
from klever.registry.registry import Registry
from tests.unit.registry.client import Client, Process, Served, manifest, serving, session

pytestmark = pytest.mark.slow

KILLS = 8
PUSHERS = 6
MIB = 1 << 20
CONTENT = Random(3).randbytes(4 * MIB)
DIGEST = Digest.of(CONTENT)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with session() as http:
        yield http


# kill -9


async def push_until_killed(client: Client, name: str, acknowledged: dict[str, bytes]) -> None:
    """Push blobs and manifests without end; `acknowledged` maps the path of each that got 201 to its content."""
    random = Random(name)
    with suppress(aiohttp.ClientError):
        for number in range(10_000):
            layer = random.randbytes(random.choice((10, 10_000, 300_000)))
            if (await client.put_blob(name, layer)).status == 201:
                acknowledged[f"/v2/{name}/blobs/{Digest.of(layer)}"] = layer
            content = manifest(layer)
            if (await client.put_manifest(name, f"v{number}", content)).status == 201:
                acknowledged[f"/v2/{name}/manifests/v{number}"] = content


async def test_nothing_that_was_acknowledged_is_lost_by_kills(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    acknowledged: dict[str, bytes] = {}
    for kill in range(KILLS):
        with Process(tmp_path / "registry") as process:
            client = Client(http, process.address)
            pushers = [
                asyncio.create_task(push_until_killed(client, f"k{kill}/p{number}", acknowledged))
                for number in range(PUSHERS)
            ]
            before, wanted = len(acknowledged), 20 + 7 * kill
            while len(acknowledged) < before + wanted:
                assert (await client.ask("GET", "/v2/")).status == 200
            process.kill()
            await asyncio.gather(*pushers)
    async with serving(tmp_path / "registry") as served:
        assert await lost(served.client, acknowledged) == []
        assert await served.registry.scrub() == []
    async with serving(tmp_path / "registry", grace=0) as served:
        await served.registry.blobs.uploads.expire(0)
        await served.registry.blobs.collect()  # what was under way goes
        manifests = {path: content for path, content in acknowledged.items() if "/manifests/" in path}
        layers = {path: content for path, content in acknowledged.items() if manifest(content) in manifests.values()}
        assert await lost(served.client, manifests | layers) == []
        assert not [name for name in served.files() if name.startswith("uploads/")]


async def lost(client: Client, acknowledged: dict[str, bytes]) -> list[str]:
    """The paths that do not answer with their content."""
    return [path for path, content in acknowledged.items() if (await client.ask("GET", path)).body != content]


async def test_an_upload_goes_on_after_a_kill(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async def half(client: Client, location: str) -> AsyncIterator[bytes]:
        yield CONTENT[: 2 * MIB]
        while (await client.ask("GET", location)).headers["Range"] == "0-0":
            pass
        process.kill()
        yield CONTENT[2 * MIB :]

    with Process(tmp_path / "registry") as process:
        client = Client(http, process.address)
        location = await client.start_upload("a/b")
        with pytest.raises(aiohttp.ClientError):
            await client.ask("PATCH", location, half(client, location))
    with Process(tmp_path / "registry") as process:
        client = Client(http, process.address)
        state = await client.ask("GET", location)
        size = int(state.headers["Range"].removeprefix("0-")) + 1
        assert (state.status, 1 < size <= 2 * MIB) == (204, True)
        early = await client.ask("PATCH", location, CONTENT[:10], Content_Range="0-9")
        assert early.refusal == (416, "BLOB_UPLOAD_INVALID")
        rest = {"Content_Range": f"{size}-{len(CONTENT) - 1}"}
        assert (await client.ask("PUT", f"{location}?digest={DIGEST}", CONTENT[size:], **rest)).status == 201
        assert (await client.get_blob("a/b", DIGEST)).body == CONTENT


async def test_an_upload_that_was_damaged_meanwhile_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry") as served:
        location = await served.client.start_upload("a/b")
        await served.client.ask("PATCH", location, CONTENT)
    flip(next((tmp_path / "registry/uploads").iterdir()))
    async with serving(tmp_path / "registry") as served:
        finished = await served.client.ask("PUT", f"{location}?digest={DIGEST}")
        assert finished.refusal == (400, "DIGEST_INVALID")
        assert served.files() == []


# Damage


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def pull(served: Served, target: Path) -> bytes:
    """Pull the blob as ormb does."""
    blob = Descriptor(mediatypes.OCTET_STREAM, DIGEST, len(CONTENT))
    with (
        RegistryClient(Endpoint("", f"http://{served.client.address}")) as client,
        BlobWriter(target, expected=DIGEST, size=len(CONTENT)) as writer,
    ):
        client.get_blob("a/b", blob, writer)
        writer.commit()
    return (target / DIGEST.hex).read_bytes()


async def test_a_flipped_bit_is_found_by_reading_everything(served: Served, tmp_path: Path) -> None:
    client, target = served.client, tmp_path / "pulled"
    target.mkdir()
    await served.client.push("a/b", "v1", CONTENT)
    await served.client.push("a/b", "v2", b"sound")
    flip(served.root / "blobs/sha256" / DIGEST.hex)
    assert await served.registry.scrub() == [DIGEST]
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(pull, served, target)
    assert list(target.iterdir()) == []
    for method in ("HEAD", "GET"):
        assert (await client.ask(method, f"/v2/a/b/blobs/{DIGEST}")).status == 404
    assert (await client.ask("POST", f"/v2/c/d/blobs/uploads/?mount={DIGEST}&from=a/b")).status == 202
    assert (await client.put_manifest("a/b", "v3", manifest(CONTENT))).refusal == (400, "MANIFEST_BLOB_UNKNOWN")
    assert (await client.get_blob("a/b", Digest.of(b"sound"))).body == b"sound"
    assert await served.registry.scrub() == []

    await served.client.push("a/b", "v1", CONTENT)  # heals
    assert await asyncio.to_thread(pull, served, target) == CONTENT


async def test_a_damaged_manifest_is_found_and_not_told(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    async with serving(root) as served:
        digest = await served.client.push("a/b", "v1", b"config")
    with apsw.Connection(str(root / "registry.db")) as db:
        db.execute("UPDATE manifests SET content = CAST(replace(CAST(content AS TEXT), 'a', 'b') AS BLOB)")
    db.close()
    async with serving(root) as served:
        for target in ("v1", digest):
            assert (await served.client.get_manifest("a/b", target)).refusal == (404, "MANIFEST_UNKNOWN")
        assert await served.registry.scrub() == [digest]
        await served.client.push("a/b", "v1", b"config")  # heals
        assert (await served.client.get_manifest("a/b", "v1")).body == manifest(b"config")


async def test_a_registry_of_a_newer_klever_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    async with serving(root) as served:
        await served.client.push("a/b", "v1", b"config")
    set_version(root, 99)
    with pytest.raises(FailedPreconditionError, match=r"has schema version 99"):
        await Registry.open(root)
    set_version(root, len(_SCHEMAS))
    async with serving(root) as served:
        assert (await served.client.get_manifest("a/b", "v1")).status == 200


async def test_a_registry_of_an_older_klever_is_taken_over(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    root.mkdir()
    db = apsw.Connection(str(root / "registry.db"))
    db.execute(_SCHEMAS[0])
    db.close()
    set_version(root, 1)
    async with serving(root) as served:
        await served.client.push("a/b", "v1", b"config")
        assert [tag.name for tag in served.registry.newest("a/b", [mediatypes.IMAGE_CONFIG], limit=9)] == ["v1"]


def set_version(root: Path, version: int) -> None:
    db = apsw.Connection(str(root / "registry.db"))
    db.pragma("user_version", version)
    db.close()


async def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    root = tmp_path / "registry"
    root.mkdir()
    (root / "registry.db").write_bytes(b"no database" * 1000)
    with pytest.raises(IntegrityError, match=r"registry\.db is damaged"):
        await Registry.open(root)


@pytest.mark.parametrize("lose", [lambda path: os.truncate(path, 0), Path.unlink], ids=["emptied", "removed"])
async def test_a_lost_database_is_not_replaced_unnoticed(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    root = tmp_path / "registry"
    async with serving(root) as served:
        await served.client.push("a/b", "v1", b"config")
    lose(root / "registry.db")
    for _ in range(2):
        with pytest.raises(IntegrityError, match="restore a backup"):
            await Registry.open(root)
    shutil.rmtree(root)
    async with serving(root) as served:
        await served.client.push("a/b", "v1", b"config")
