"""Uploads in chunks: in their order, resumed, given up, and never mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from klever.limits import Limits
from klever.oci.digest import Digest
from tests.unit.registry.client import Answer, Client, Served, serving

MIB = 1 << 20
CONTENT = Random(2).randbytes(5 * MIB)
DIGEST = Digest.of(CONTENT)


async def append(client: Client, location: str, start: int, chunk: bytes) -> Answer:
    return await client.ask("PATCH", location, chunk, Content_Range=f"{start}-{start + len(chunk) - 1}")


async def received_size(client: Client, location: str) -> int:
    """Bytes that the registry has, one at the least."""
    answer = await client.ask("GET", location)
    assert answer.status == 204
    return int(answer.headers["Range"].removeprefix("0-")) + 1


class Sender:
    """A request whose body the test feeds."""

    def __init__(self, client: Client, method: str, location: str) -> None:
        self._blocks: asyncio.Queue[bytes] = asyncio.Queue()
        self.answer = asyncio.create_task(client.ask(method, location, self._body()))

    def send(self, block: bytes) -> None:
        """The body ends with an empty one."""
        self._blocks.put_nowait(block)

    async def _body(self) -> AsyncIterator[bytes]:
        while block := await self._blocks.get():
            yield block


async def test_a_blob_comes_in_chunks(client: Client) -> None:
    location = await client.start_upload("a/b")
    for start in range(0, 4 * MIB, MIB):
        answer = await append(client, location, start, CONTENT[start : start + MIB])
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{start + MIB - 1}")
        assert answer.headers["Location"] == location
    finished = await client.ask("PUT", f"{location}?digest={DIGEST}", CONTENT[4 * MIB :])
    assert (finished.status, finished.headers["Location"]) == (201, f"/v2/a/b/blobs/{DIGEST}")
    assert (await client.get_blob("a/b", DIGEST)).body == CONTENT
    assert (await client.ask("GET", location)).refusal == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_a_blob_comes_as_a_stream(client: Client) -> None:
    sender = Sender(client, "PATCH", location := await client.start_upload("a/b"))
    for start in range(0, len(CONTENT), 700_000):
        sender.send(CONTENT[start : start + 700_000])
    sender.send(b"")
    assert (await sender.answer).headers["Range"] == f"0-{len(CONTENT) - 1}"
    assert (await client.ask("PUT", f"{location}?digest={DIGEST}")).status == 201
    assert (await client.get_blob("a/b", DIGEST)).body == CONTENT


@pytest.mark.parametrize(
    "wrong", ["2097152-2097153", "0-1", "1048575-1048576", "1048576-1048578", "1048576-1048576", "1048577-1048576", "x"]
)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_chunk_out_of_order_changes_nothing(client: Client, method: str, wrong: str) -> None:
    location = await client.start_upload("a/b")
    await append(client, location, 0, CONTENT[:MIB])
    refused = await client.ask(method, f"{location}?digest={DIGEST}", b"ab", Content_Range=wrong)
    assert refused.refusal == (416, "BLOB_UPLOAD_INVALID")
    assert await received_size(client, location) == MIB
    assert (await append(client, location, MIB, CONTENT[MIB:])).status == 202
    assert (await client.ask("PUT", f"{location}?digest={DIGEST}")).status == 201


async def test_chunks_whose_digest_is_another_leave_nothing(served: Served) -> None:
    location = await served.client.start_upload("a/b")
    await append(served.client, location, 0, CONTENT)
    refused = await served.client.ask("PUT", f"{location}?digest={Digest.of(b'other')}")
    assert refused.refusal == (400, "DIGEST_INVALID")
    assert served.files() == []
    assert (await served.client.ask("GET", location)).refusal == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("query", ["", "?digest=", "?digest=sha256:1"])
async def test_without_a_digest_the_upload_stays(client: Client, query: str) -> None:
    location = await client.start_upload("a/b")
    await append(client, location, 0, CONTENT)
    assert (await client.ask("PUT", f"{location}{query}")).refusal == (400, "DIGEST_INVALID")
    assert await received_size(client, location) == len(CONTENT)


async def test_an_upload_is_given_up(served: Served) -> None:
    location = await served.client.start_upload("a/b")
    await append(served.client, location, 0, CONTENT)
    assert (await served.client.ask("DELETE", location)).status == 204
    assert served.files() == []
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await served.client.ask(method, f"{location}?digest={DIGEST}")
        assert answer.refusal == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_an_upload_given_up_under_way_is_unknown_to_its_sender(served: Served) -> None:
    client = served.client
    sender = Sender(client, "PATCH", location := await client.start_upload("a/b"))
    sender.send(CONTENT[:MIB])
    while await received_size(client, location) < MIB // 2:
        pass
    assert (await client.ask("DELETE", location)).status == 204
    sender.send(CONTENT[MIB:])
    sender.send(b"")
    assert (await sender.answer).refusal == (404, "BLOB_UPLOAD_UNKNOWN")
    assert served.files() == []


async def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    location = await client.start_upload("a/b")
    other = location.replace("/v2/a/b/", "/v2/c/d/")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await client.ask(method, f"{other}?digest={DIGEST}", b"x")
        assert answer.refusal == (404, "BLOB_UPLOAD_UNKNOWN")
    assert (await client.ask("GET", location)).status == 204


@pytest.mark.parametrize("name", ["0" * 32, "x", "..%2F..%2Fregistry.db", "%00", "..%2Fuploads%2F."])
async def test_an_unknown_upload_is_not_found(client: Client, name: str) -> None:
    await client.start_upload("a/b")
    answer = await client.ask("PATCH", f"/v2/a/b/blobs/uploads/{name}", b"x")
    assert answer.refusal == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_one_of_two_that_finish_the_same_upload_does(client: Client) -> None:
    location = await client.start_upload("a/b")
    await append(client, location, 0, CONTENT)
    finish = [client.ask("PUT", f"{location}?digest={DIGEST}") for _ in range(4)]
    assert sorted([answer.status for answer in await asyncio.gather(*finish)]) == [201, 404, 404, 404]
    assert (await client.get_blob("a/b", DIGEST)).body == CONTENT


async def test_two_that_send_the_same_blob_both_have_it(served: Served) -> None:
    client = served.client
    answers = await asyncio.gather(*(client.put_blob(f"a/b{n % 3}", CONTENT) for n in range(9)))
    assert {answer.status for answer in answers} == {201}
    for name in ("a/b0", "a/b1", "a/b2"):
        assert (await client.get_blob(name, DIGEST)).body == CONTENT
    assert served.files() == [f"blobs/sha256/{DIGEST.hex}"]


async def test_an_interrupted_upload_keeps_the_received_bytes(served: Served) -> None:
    client = served.client
    sender = Sender(client, "PATCH", location := await client.start_upload("a/b"))
    sender.send(CONTENT[: 2 * MIB])
    while await received_size(client, location) < MIB // 2:
        pass
    sender.answer.cancel()
    await asyncio.wait([sender.answer])
    status = 416
    while status == 416:  # what had come before the cut is still being written
        size = await received_size(client, location)
        answer = await append(client, location, size, CONTENT[size:])
        status = answer.status
    assert (status, answer.headers["Range"]) == (202, f"0-{len(CONTENT) - 1}")
    assert (await client.ask("PUT", f"{location}?digest={DIGEST}")).status == 201
    assert (await client.get_blob("a/b", DIGEST)).body == CONTENT


async def test_bytes_of_a_refused_chunk_count_for_no_digest(tmp_path: Path) -> None:
    async with serving(tmp_path / "registry", limits=Limits(blob_bytes=MIB + 9)) as served:
        client = served.client
        sender = Sender(client, "PATCH", location := await client.start_upload("a/b"))
        sender.send(CONTENT[:MIB])
        while await received_size(client, location) < MIB // 2:
            pass
        sender.send(CONTENT[MIB:])
        sender.send(b"")
        assert (await sender.answer).refusal == (413, "TOO_LARGE")
        assert await received_size(client, location) == 1  # none

        await append(client, location, 0, bytes(MIB))
        claimed = Digest.of(CONTENT[: MIB + 9])
        refused = await client.ask("PUT", f"{location}?digest={claimed}", CONTENT[MIB : MIB + 9])
        assert refused.refusal == (400, "DIGEST_INVALID")
        assert served.files() == []
