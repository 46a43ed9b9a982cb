"""Blobs: pushed whole, read, mounted, deleted."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any

import pytest

from klever.auth import Access, Caller, Credentials, Decision, Resource
from klever.oci.digest import Digest
from tests.unit.registry.client import Client, Served, serving

CONTENT = Random(1).randbytes(3 << 20) + b"end"
DIGEST = Digest.of(CONTENT)
SHA512 = f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"
BLOB = f"/v2/a/b/blobs/{DIGEST}"


@pytest.mark.parametrize("digest", [DIGEST, SHA512], ids=["sha256", "sha512"])
async def test_a_blob_pushed_in_one_request_is_read_back(client: Client, digest: str) -> None:
    pushed = await client.put_blob("a/b", CONTENT, digest)
    assert (pushed.status, pushed.headers["Location"]) == (201, f"/v2/a/b/blobs/{digest}")
    assert pushed.headers["Docker-Content-Digest"] == digest
    read = await client.anonymous().get_blob("a/b", digest)
    assert (read.status, read.body, read.headers["Docker-Content-Digest"]) == (200, CONTENT, digest)
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    head = await client.ask("HEAD", f"/v2/a/b/blobs/{digest}")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(CONTENT)), b"")
    assert head.headers["Accept-Ranges"] == "bytes"


async def test_the_empty_blob_is_one(client: Client) -> None:
    assert (await client.put_blob("a/b", b"")).status == 201
    read = await client.get_blob("a/b", Digest.of(b""))
    assert (read.status, read.body, read.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=1048570-", slice(1048570, None)), ("bytes=-3", slice(-3, None))],
)
async def test_a_part_is_read_by_its_range(client: Client, wanted: str, part: slice) -> None:
    await client.put_blob("a/b", CONTENT)
    read = await client.get_blob("a/b", DIGEST, Range=wanted)
    start, stop, _ = part.indices(len(CONTENT))
    assert (read.status, read.body) == (206, CONTENT[part])
    assert read.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"


async def test_a_range_beyond_the_end_is_refused(client: Client) -> None:
    await client.put_blob("a/b", CONTENT)
    read = await client.get_blob("a/b", DIGEST, Range=f"bytes={len(CONTENT)}-")
    assert (read.status, read.headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("wrong", [Digest.of(b"other"), "sha512:" + "0" * 128])
async def test_content_that_is_not_its_digest_is_refused_and_leaves_nothing(served: Served, wrong: str) -> None:
    assert (await served.client.put_blob("a/b", CONTENT, wrong)).refusal == (400, "DIGEST_INVALID")
    assert served.files() == []
    assert (await served.client.get_blob("a/b", wrong)).refusal == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("wrong", ["sha256:0", "md5:" + "0" * 32, "sha256:" + "A" * 64, "%00", "..%2F..%2Fregistry.db"])
async def test_an_invalid_digest_is_refused(served: Served, wrong: str) -> None:
    assert (await served.client.put_blob("a/b", b"x", wrong)).refusal == (400, "DIGEST_INVALID")
    assert (await served.client.get_blob("a/b", wrong)).refusal == (400, "DIGEST_INVALID")
    assert served.files() == []


@pytest.mark.parametrize("name", ["A", "a//b", "a/../b", "-a", "a" * 256, "a/%2e%2e/b", "a%00", "%FF"])
async def test_an_invalid_name_is_refused(served: Served, name: str) -> None:
    assert (await served.client.put_blob(name, b"x")).refusal == (400, "NAME_INVALID")
    assert (await served.client.ask("GET", f"/v2/{name}/tags/list")).refusal == (400, "NAME_INVALID")
    assert served.files() == []


async def test_a_blob_is_only_in_the_repository_that_it_was_pushed_to(client: Client) -> None:
    await client.put_blob("a/b", CONTENT)
    for method in ("GET", "HEAD", "DELETE"):
        assert (await client.ask(method, f"/v2/other/repo/blobs/{DIGEST}")).status == 404
    layer = await client.get_blob("a/b", DIGEST)
    assert layer.status == 200


async def test_a_blob_is_mounted_from_another_repository(client: Client) -> None:
    await client.put_blob("a/b", CONTENT)
    mounted = await client.ask("POST", f"/v2/c/d/blobs/uploads/?mount={DIGEST}&from=a/b")
    assert (mounted.status, mounted.headers["Location"]) == (201, f"/v2/c/d/blobs/{DIGEST}")
    assert (await client.ask("DELETE", BLOB)).status == 202
    assert (await client.get_blob("c/d", DIGEST)).body == CONTENT


@pytest.mark.parametrize("source", ["&from=no/such", "", "&from=", "&from=..%2Fa", "&from=c/d"])
async def test_a_mount_of_nothing_becomes_an_upload(client: Client, source: str) -> None:
    await client.put_blob("a/b", CONTENT)
    answer = await client.ask("POST", f"/v2/c/d/blobs/uploads/?mount={DIGEST}{source}")
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")
    assert (await client.get_blob("c/d", DIGEST)).status == 404
    finished = await client.ask("PUT", f"{answer.headers['Location']}?digest={DIGEST}", CONTENT)
    assert finished.status == 201


async def test_no_mount_from_a_repository_that_the_caller_must_not_read(served: Served) -> None:
    class ByUser:
        """Knows everybody by the name given, and keeps `private/a` for its owner."""

        def authenticate(self, credentials: Credentials | None) -> Caller:
            return Caller(credentials.user if credentials else "")

        def check(self, caller: Caller, verb: str, resource: Resource) -> Decision:
            return Decision(resource.name != "private/a" or caller.name == "owner", "it is not yours")

    access = Access(ByUser(), ByUser())

    async with serving(served.root.parent / "guarded", access=access) as guarded:
        owner: dict[str, Any] = {"Authorization": "Basic b3duZXI6c2VjcmV0"}  # owner:secret
        path = "/v2/{}/blobs/uploads/?"
        pushed = await guarded.client.ask("POST", path.format("private/a") + f"digest={DIGEST}", CONTENT, **owner)
        assert pushed.status == 201
        assert (await guarded.client.get_blob("private/a", DIGEST)).refusal == (403, "DENIED")
        mount = path.format("mine/a") + f"mount={DIGEST}&from=private/a"
        absent = path.format("mine/a") + f"mount={Digest.of(b'none')}&from=private/a"
        refused, unknown = [await guarded.client.ask("POST", url) for url in (mount, absent)]
        assert refused.status == unknown.status == 202  # it does not even tell what is there
        assert (await guarded.client.get_blob("mine/a", DIGEST)).status == 404
        assert (await guarded.client.ask("POST", mount, **owner)).status == 201


async def test_a_deleted_blob_is_gone_and_its_space_free(served: Served) -> None:
    client = served.client
    await client.put_blob("a/b", CONTENT)
    await client.put_blob("c/d", CONTENT)
    assert (await client.ask("DELETE", BLOB)).status == 202
    assert (await client.get_blob("a/b", DIGEST)).refusal == (404, "BLOB_UNKNOWN")
    assert (await client.ask("DELETE", BLOB)).refusal == (404, "BLOB_UNKNOWN")
    assert (await client.get_blob("c/d", DIGEST)).body == CONTENT
    assert (await client.ask("DELETE", f"/v2/c/d/blobs/{DIGEST}")).status == 202
    assert served.files() == []


async def test_a_blob_that_a_manifest_needs_cannot_be_deleted(client: Client) -> None:
    digest = await client.push("a/b", "v1", CONTENT)
    assert (await client.ask("DELETE", BLOB)).refusal == (405, "BLOB_IN_USE")
    assert (await client.get_blob("a/b", DIGEST)).body == CONTENT
    await client.ask("DELETE", f"/v2/a/b/manifests/{digest}")
    assert (await client.ask("DELETE", BLOB)).status == 202
