"""What one client can take of a registry has bounds, and a slow one holds up nobody else."""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from klever.limits import Limits
from klever.oci.digest import Digest
from klever.registry import requests, uploads
from tests.unit.registry.client import TOKEN, Client, Served, serving

pytestmark = pytest.mark.slow

SESSIONS = 1000
CONTENT = Random(7).randbytes(100_000)
DIGEST = Digest.of(CONTENT)


@asynccontextmanager
async def half_sent(client: Client, method: str, path: str, sent: bytes, size: int) -> AsyncIterator[StreamReader]:
    """A request that announced `size` bytes and sent some; yields what its answer is read from."""
    async with connection(client) as (reader, writer):
        head = f"{method} {path} HTTP/1.1\r\nHost: {client.address}\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + sent)
        await writer.drain()
        yield reader


@asynccontextmanager
async def connection(client: Client) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
    reader, writer = await asyncio.open_connection(*client.address.split(":"))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.wait([asyncio.create_task(writer.wait_closed())])


def create_slowly(path: Path) -> None:
    """As on a busy disk: many begin meanwhile."""
    time.sleep(0.005)
    path.touch(exist_ok=False)


async def test_a_thousand_uploads_are_open_at_the_most(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_create", create_slowly)
    starts = [client.ask("POST", f"/v2/a/b{number % 10}/blobs/uploads/") for number in range(SESSIONS + 50)]
    answers = await asyncio.gather(*starts)
    opened = [answer for answer in answers if answer.status == 202]
    assert len(opened) == SESSIONS
    assert {answer.refusal for answer in answers if answer not in opened} == {(429, "TOOMANYREQUESTS")}
    assert (await client.put_blob("a/b", CONTENT)).refusal == (429, "TOOMANYREQUESTS")
    assert (await client.ask("DELETE", opened[0].headers["Location"])).status == 204
    assert (await client.put_blob("a/b", CONTENT)).status == 201
    finished = await client.ask("PUT", f"{opened[1].headers['Location']}?digest={DIGEST}", CONTENT)
    assert finished.status == 201
    repository = opened[1].headers["Location"].split("/blobs/")[0].removeprefix("/v2/")
    assert (await client.get_blob(repository, DIGEST)).body == CONTENT


async def test_uploads_and_pages_and_manifests_have_limits(tmp_path: Path) -> None:
    limits = Limits(upload_sessions=3, upload_sessions_per_repository=2, manifest_bytes=1000, tags_per_page=2)
    async with serving(tmp_path / "registry", limits=limits) as served:
        client = served.client
        for tag in ("v1", "v2", "v3"):
            await client.push("a/b", tag)
        assert (await client.ask("GET", "/v2/a/b/tags/list?n=100")).json["tags"] == ["v1", "v2"]
        large = await client.put_manifest("a/b", "v4", bytes(1001))
        assert large.refusal == (413, "TOO_LARGE")
        first = await client.start_upload("a/b")
        await client.start_upload("a/b")
        own = await client.ask("POST", "/v2/a/b/blobs/uploads/")
        await client.start_upload("c/d")
        everybodys = await client.ask("POST", "/v2/e/f/blobs/uploads/")
        for answer, limit in (
            (large, "manifest_bytes"), (own, "upload_sessions_per_repository"), (everybodys, "upload_sessions"),
        ):  # fmt: skip
            assert f"--limit {limit}" in answer.json["errors"][0]["message"]
        assert own.refusal == everybodys.refusal == (429, "TOOMANYREQUESTS")
        await client.ask("DELETE", first)
        await client.start_upload("a/b")


async def streamed(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


async def test_a_project_has_a_largest_size_in_all_its_repositories(tmp_path: Path) -> None:
    """Blobs count once, however many repositories of the project have them, and no longer when they are deleted."""
    async with serving(tmp_path / "registry", limits=Limits(project_bytes=1000)) as served:
        client = served.client
        assert (await client.put_blob("team/a", bytes(400))).status == 201
        assert (await client.put_blob("team/b", bytes(400))).status == 201  # the same blob takes no space again
        open_session = await client.start_upload("team/b")
        assert (await client.ask("PATCH", open_session, b"x" * 500)).status == 202
        for body in (b"y" * 200, streamed(b"y" * 50, b"y" * 150)):
            digest = Digest.of(b"y" * 200)
            refused = await client.ask("POST", f"/v2/team/c/blobs/uploads/?digest={digest}", body)
            assert refused.refusal == (403, "DENIED")
            assert "--limit project_bytes" in refused.json["errors"][0]["message"]
        assert (await client.put_blob("team-2/c", b"y" * 200)).status == 201
        mount = f"/v2/team/c/blobs/uploads/?mount={digest}&from=team-2/c"
        assert (await client.ask("POST", mount)).refusal == (403, "DENIED")
        await client.ask("DELETE", open_session)
        assert (await client.ask("POST", mount)).status == 201
        assert (await client.put_blob("team/a", b"z" * 500)).refusal == (403, "DENIED")
        for repository in ("team/a", "team/b"):
            await client.ask("DELETE", f"/v2/{repository}/blobs/{Digest.of(bytes(400))}")
        assert (await client.put_blob("team/a", b"z" * 500)).status == 201


@pytest.mark.parametrize("body", [lambda: bytes(1001), lambda: streamed(bytes(1000), b"x")], ids=["sized", "stream"])
async def test_a_blob_has_a_largest_size(tmp_path: Path, body: Callable[[], bytes]) -> None:
    async with serving(tmp_path / "registry", limits=Limits(blob_bytes=1000)) as served:
        client = served.client
        path = f"/v2/a/b/blobs/uploads/?digest={Digest.of(bytes(1001))}"
        assert (await client.ask("POST", path, body())).refusal == (413, "TOO_LARGE")
        assert served.files() == []
        location = await client.start_upload("a/b")
        assert (await client.ask("PATCH", location, body())).refusal == (413, "TOO_LARGE")
        assert (await client.ask("PATCH", location, bytes(600))).status == 202
        assert (await client.ask("PATCH", location, bytes(401))).refusal == (413, "TOO_LARGE")
        assert (await client.ask("GET", location)).headers["Range"] == "0-599"
        last = await client.ask("PUT", f"{location}?digest={Digest.of(bytes(1000))}", bytes(400))
        assert last.status == 201


async def test_a_large_body_is_refused_before_it_comes(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry", limits=Limits(blob_bytes=1000)) as served:
        path = f"/v2/a/b/blobs/uploads/?digest={DIGEST}"
        async with half_sent(served.client, "POST", path, b"", 1 << 40) as reader:
            assert await status(reader) == 413


async def status(reader: StreamReader) -> int:
    return int((await asyncio.wait_for(reader.readline(), 20)).split()[1])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that waits for a silent client for 0.3 s only."""
    monkeypatch.setattr(requests, "_IDLE", 0.3)


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_falls_silent_is_sent_away_and_may_go_on(served: Served) -> None:
    client, location = served.client, await served.client.start_upload("a/b")
    async with half_sent(client, "PATCH", location, CONTENT[:5000], len(CONTENT)) as reader:
        assert await status(reader) == 408
    async with half_sent(client, "PUT", "/v2/a/b/manifests/v1", b"{", 100) as reader:
        assert await status(reader) == 408
    state = await client.ask("GET", location)
    size = int(state.headers["Range"].removeprefix("0-"))
    start = size + 1 if size else 0
    rest = {"Content_Range": f"{start}-{len(CONTENT) - 1}"}
    finished = await client.ask("PUT", f"{location}?digest={DIGEST}", CONTENT[start:], **rest)
    assert finished.status == 201


@pytest.mark.usefixtures("impatient")
async def test_a_whole_blob_that_never_comes_leaves_nothing(served: Served) -> None:
    path = f"/v2/a/b/blobs/uploads/?digest={DIGEST}"
    async with half_sent(served.client, "POST", path, CONTENT[:5000], len(CONTENT)) as reader:
        assert await status(reader) == 408
    assert served.files() == []


async def test_clients_that_do_not_go_on_hold_up_nobody(tmp_path: Path) -> None:
    large = bytes(32 << 20)
    async with serving(tmp_path / "registry", drain=0.1) as served, asyncio.timeout(60):
        client = served.client
        await client.put_blob("a/b", large)
        async with asyncio.TaskGroup() as group:
            done = asyncio.Event()
            for number in range(40):
                path = f"/v2/a/b/blobs/{Digest.of(large)}" if number % 2 else await client.start_upload("a/b")
                method = "GET" if number % 2 else "PATCH"
                group.create_task(hold(client, method, path, done))
            for number in range(20):
                content = b"content %d" % number
                await client.push("c/d", f"v{number}", content)
                assert (await client.get_blob("c/d", Digest.of(content))).body == content
            done.set()


async def hold(client: Client, method: str, path: str, done: asyncio.Event) -> None:
    """Ask, or send a part, and then neither read nor send more."""
    size = 0 if method == "GET" else 1000
    async with half_sent(client, method, path, b"x" * (size // 2), size):
        await done.wait()
