"""A blob whose file changed on disk is never sent as complete; it is set aside, and the next push repairs it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import aiohttp
import pytest

from klever.errors import NotFoundError
from klever.oci import mediatypes
from klever.oci.blobs import BlobWriter
from klever.oci.client import RegistryClient
from klever.oci.digest import Digest
from klever.oci.manifest import Descriptor
from klever.oci.registries import Credentials, Endpoint
from klever.registry import blob_response, verification
from klever.registry.content import Content, Reader
from klever.registry.verification import Verifier
from tests.unit.registry.client import TOKEN, Client, Served, manifest, serving

pytestmark = pytest.mark.slow

LARGE = Random(11).randbytes(3 << 20)
SMALL = Random(12).randbytes(5000)

Damage = Callable[[Path], None]


def flip_first(path: Path) -> None:
    flip(path, 0)


def flip_last(path: Path) -> None:
    flip(path, path.stat().st_size - 1)


def flip_and_hide(path: Path) -> None:
    """Flip a bit and set the file's times back."""
    before = path.stat()
    flip(path, before.st_size // 2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


DAMAGES = [flip_first, flip_last, flip_and_hide, empty, cut, grow, replace]


def blob_file(served: Served, content: bytes) -> Path:
    return served.root / "blobs/sha256" / Digest.of(content).hex


async def received(client: Client, content: bytes, **headers: str) -> bytes | None:
    """What a client takes for the whole answer; None if it was refused, or the connection broke."""
    try:
        answer = await client.get_blob("a/b", Digest.of(content), **headers)
    except (aiohttp.ClientError, RuntimeError):  # a RuntimeError is how aiohttp says that the connection had closed
        return None
    assert answer.status in {200, 206, 404}
    return answer.body if answer.status < 400 else None


@pytest.fixture
async def restarted(tmp_path: Path) -> AsyncIterator[Served]:
    """A registry that has not read its blobs since it started; SMALL and LARGE are in a/b and c/d."""
    async with serving(tmp_path / "registry") as served:
        for repository in ("a/b", "c/d"):
            await served.client.push(repository, "v1", SMALL, LARGE)
    async with serving(tmp_path / "registry") as served:
        yield served


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_damaged_blob_is_refused_until_it_is_pushed_again(
    served: Served, content: bytes, damage: Damage
) -> None:
    client = served.client
    await client.push("a/b", "v1", content)
    assert await received(client, content) == content
    damage(blob_file(served, content))
    assert await received(client, content) is None
    for method in ("HEAD", "GET"):
        assert (await client.ask(method, f"/v2/a/b/blobs/{Digest.of(content)}")).status == 404
    assert (await client.put_blob("a/b", content)).status == 201
    assert await received(client, content) == content


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_damage_from_before_a_restart_is_found(restarted: Served, content: bytes, damage: Damage) -> None:
    damage(blob_file(restarted, content))
    assert await received(restarted.client, content) is None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("wanted", ["bytes=0-0", "bytes=1000-2000", "bytes=2000000-", "bytes=-1"])
async def test_no_range_of_a_damaged_blob_is_sent(restarted: Served, wanted: str, damage: Damage) -> None:
    damage(blob_file(restarted, LARGE))
    assert await received(restarted.client, LARGE, Range=wanted) is None


async def test_ranges_of_a_sound_blob_are_sent_while_it_is_verified(restarted: Served) -> None:
    parts = [f"bytes={start}-{start + 299_999}" for start in range(0, len(LARGE), 300_000)]
    answers = await asyncio.gather(*(received(restarted.client, LARGE, Range=part) for part in parts))
    assert b"".join(answer or b"" for answer in answers) == LARGE


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_client_that_asks_before_it_pushes_repairs(
    restarted: Served, tmp_path: Path, content: bytes, damage: Damage
) -> None:
    damage(blob_file(restarted, content))
    source = tmp_path / "source"
    source.write_bytes(content)
    blob = Descriptor.of(mediatypes.OCTET_STREAM, content)
    with RegistryClient(Endpoint("", f"http://{restarted.client.address}", Credentials(token=TOKEN))) as client:
        await asyncio.to_thread(client.put_blob, "a/b", blob, source)
    assert blob_file(restarted, content).read_bytes() == content
    assert await received(restarted.client, content) == content


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_blob_is_not_mounted(restarted: Served, damage: Damage) -> None:
    damage(blob_file(restarted, LARGE))
    mount = f"/v2/e/f/blobs/uploads/?mount={Digest.of(LARGE)}&from=a/b"
    assert (await restarted.client.ask("POST", mount)).status == 202


@pytest.mark.parametrize("damage", [empty, cut, grow])
async def test_no_manifest_lists_a_blob_of_another_size(restarted: Served, damage: Damage) -> None:
    damage(blob_file(restarted, LARGE))
    answer = await restarted.client.put_manifest("a/b", "v2", manifest(SMALL, LARGE))
    assert answer.refusal == (400, "MANIFEST_BLOB_UNKNOWN")


async def test_damage_is_kept_aside_counted_and_named(restarted: Served, caplog: pytest.LogCaptureFixture) -> None:
    flip_last(blob_file(restarted, LARGE))
    with caplog.at_level(logging.ERROR):
        answers = await asyncio.gather(*(received(restarted.client, LARGE) for _ in range(5)))
    assert answers == [None] * 5
    assert restarted.registry.blobs.damaged == 1
    (record,) = caplog.records
    assert all(text in record.getMessage() for text in (Digest.of(LARGE), "a/b", "c/d"))
    aside = restarted.root / "quarantine/sha256" / Digest.of(LARGE).hex
    assert aside.stat().st_size == len(LARGE)


async def test_the_client_refuses_a_damaged_blob(restarted: Served, tmp_path: Path) -> None:
    flip_last(blob_file(restarted, LARGE))

    def pull() -> None:
        blob = Descriptor.of(mediatypes.OCTET_STREAM, LARGE)
        with (
            RegistryClient(Endpoint("", f"http://{restarted.client.address}")) as client,
            BlobWriter(tmp_path, expected=blob.digest, size=blob.size) as writer,
        ):
            client.get_blob("a/b", blob, writer)
            writer.commit()

    with pytest.raises(NotFoundError):
        await asyncio.to_thread(pull)


async def test_a_bad_sector_is_damage(restarted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    class BadSector:
        def update(self, _block: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        def hexdigest(self) -> str:
            return ""

    monkeypatch.setattr(Digest, "hasher", lambda _digest: BadSector())
    assert await received(restarted.client, LARGE) is None
    monkeypatch.undo()
    assert (await restarted.client.put_blob("a/b", LARGE)).status == 201
    assert await received(restarted.client, LARGE) == LARGE


async def test_a_file_is_hashed_once(restarted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_readers(monkeypatch)
    for _ in range(2):
        assert await received(restarted.client, LARGE) == LARGE
        assert await received(restarted.client, LARGE, Range="bytes=5-9") == LARGE[5:10]
        assert (await restarted.client.ask("HEAD", f"/v2/c/d/blobs/{Digest.of(LARGE)}")).status == 200
    assert opened == [Digest.of(LARGE)]
    os.utime(blob_file(restarted, LARGE))
    assert await received(restarted.client, LARGE) == LARGE
    assert opened == [Digest.of(LARGE)] * 2


async def test_a_pushed_blob_is_not_hashed_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_readers(monkeypatch)
    await served.client.push("a/b", "v1", SMALL, LARGE)
    assert await received(served.client, LARGE) == LARGE
    assert opened == []


def count_readers(monkeypatch: pytest.MonkeyPatch) -> list[Digest]:
    opened: list[Digest] = []
    reader = Content.reader

    def counted(content: Content, digest: Digest) -> Reader:
        opened.append(digest)
        return reader(content, digest)

    monkeypatch.setattr(Content, "reader", counted)
    return opened


async def test_few_results_are_remembered(restarted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_REMEMBERED", 1)
    opened = count_readers(monkeypatch)
    for content in (SMALL, LARGE, SMALL):
        assert await received(restarted.client, content) == content
    assert opened == [Digest.of(content) for content in (SMALL, LARGE, SMALL)]


async def test_a_client_is_sent_something_while_it_waits(restarted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = asyncio.Event()
    check = Verifier._check

    async def slow(verifier: Verifier, digest: Digest) -> bool:
        await may_end.wait()
        return await check(verifier, digest)

    monkeypatch.setattr(blob_response, "_SILENCE", 0.01)
    monkeypatch.setattr(Verifier, "_check", slow)
    url = f"http://{restarted.client.address}/v2/a/b/blobs/{Digest.of(LARGE)}"
    async with restarted.client.http.get(url) as response:
        start = await response.content.readexactly(len(LARGE) - (256 << 10) + 3)
        may_end.set()
        assert start + await response.read() == LARGE


async def test_a_check_ends_with_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(_reader: Reader) -> bool:
        loop.call_soon_threadsafe(started.set)
        return True

    async with serving(tmp_path / "registry") as served:
        await served.client.push("a/b", "v1", LARGE)
    monkeypatch.setattr(Reader, "read", endless)
    async with serving(tmp_path / "registry", drain=0.1) as served:
        pull = asyncio.create_task(received(served.client, LARGE))
        await started.wait()
    assert await pull is None
