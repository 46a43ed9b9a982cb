"""Manifests: pushed by tag and digest, refused when wrong, tagged, moved with a condition, deleted."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from klever.artifacts.dialects import ormb
from klever.oci import mediatypes
from klever.oci.digest import Digest
from klever.oci.manifest import MAX_MANIFEST
from tests.unit.registry.client import Client, manifest, serving

CONFIG, LAYER = b'{"format":"ONNX"}', b"layer"
MANIFEST = manifest(CONFIG, LAYER)
DIGEST = Digest.of(MANIFEST)
SHA512 = f"sha512:{hashlib.sha512(MANIFEST).hexdigest()}"
OTHER = manifest(CONFIG)


@pytest.fixture
async def pusher(client: Client) -> Client:
    """One whose blobs are in `a/b` already."""
    for blob in (CONFIG, LAYER):
        assert (await client.put_blob("a/b", blob)).status == 201
    return client


@pytest.mark.parametrize(
    ("target", "digest"), [("v1", DIGEST), (DIGEST, DIGEST), (SHA512, SHA512)], ids=["tag", "sha256", "sha512"]
)
async def test_a_manifest_is_read_back_as_it_was_pushed(pusher: Client, target: str, digest: str) -> None:
    pushed = await pusher.put_manifest("a/b", target, MANIFEST)
    assert (pushed.status, pushed.headers["Location"]) == (201, f"/v2/a/b/manifests/{digest}")
    assert pushed.headers["Docker-Content-Digest"] == digest
    for by in {target, digest}:
        read = await pusher.anonymous().get_manifest("a/b", by)
        assert (read.status, read.body, read.headers["Docker-Content-Digest"]) == (200, MANIFEST, digest)
        assert read.headers["Content-Type"] == mediatypes.IMAGE_MANIFEST
        head = await pusher.ask("HEAD", f"/v2/a/b/manifests/{by}")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(MANIFEST)))


async def test_a_manifest_is_only_in_its_repository(pusher: Client) -> None:
    await pusher.put_manifest("a/b", "v1", MANIFEST)
    for target in ("v1", DIGEST):
        assert (await pusher.get_manifest("a/c", target)).refusal == (404, "MANIFEST_UNKNOWN")
    assert (await pusher.get_manifest("a/b", "v2")).refusal == (404, "MANIFEST_UNKNOWN")


async def test_a_manifest_of_another_digest_is_refused(pusher: Client) -> None:
    wrong = Digest.of(b"other")
    assert (await pusher.put_manifest("a/b", wrong, MANIFEST)).refusal == (400, "DIGEST_INVALID")
    for target in (wrong, DIGEST):
        assert (await pusher.get_manifest("a/b", target)).status == 404


@pytest.mark.parametrize("target", [".v1", "a" * 129, "v%201", "%2e%2e", "%FF", "v%00"])
async def test_an_invalid_tag_is_refused(pusher: Client, target: str) -> None:
    assert (await pusher.put_manifest("a/b", target, MANIFEST)).refusal == (400, "TAG_INVALID")


async def test_blobs_come_first(client: Client) -> None:
    await client.put_blob("a/b", CONFIG)
    await client.put_blob("c/d", LAYER)  # being elsewhere does not count
    refused = await client.put_manifest("a/b", "v1", MANIFEST)
    assert refused.refusal == (400, "MANIFEST_BLOB_UNKNOWN")
    assert Digest.of(LAYER) in refused.json["errors"][0]["message"]
    assert (await client.get_manifest("a/b", "v1")).status == 404


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(MANIFEST) | fields).encode()


def descriptor(**fields: Any) -> dict[str, Any]:
    return {"mediaType": ormb.LAYER, "digest": Digest.of(LAYER), "size": len(LAYER)} | fields


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"schemaVersion":' + b"9" * 5000 + b"}",
        changed(schemaVersion=1), changed(config=None), changed(layers={}), changed(layers=[{}]),
        changed(layers=[descriptor(size=4)]), changed(layers=[descriptor(size=-5)]),
        changed(layers=[descriptor(size=10**30)]), changed(layers=[descriptor(digest="sha256:../../x")]),
        changed(mediaType=mediatypes.IMAGE_INDEX), changed(mediaType=7), changed(annotations={"a": 1}),
        changed(artifactType=7), changed(artifactType="\ud800"), changed(config=descriptor(mediaType="\ud800")),
        changed(subject={"digest": "x"}), changed().decode().encode("utf-16"), b"\xef\xbb\xbf" + changed(),
    ],
    ids=lambda content: content[:60],
)  # fmt: skip
async def test_an_invalid_manifest_is_refused(pusher: Client, content: bytes) -> None:
    assert (await pusher.put_manifest("a/b", "v1", content)).refusal == (400, "MANIFEST_INVALID")
    assert (await pusher.get_manifest("a/b", "v1")).status == 404


@pytest.mark.parametrize("media_type", [mediatypes.DOCKER_MANIFEST, mediatypes.IMAGE_INDEX, "text/plain", "x"])
async def test_the_content_type_must_be_the_documents(pusher: Client, media_type: str) -> None:
    refused = await pusher.put_manifest("a/b", "v1", MANIFEST, Content_Type=media_type)
    assert refused.refusal == (400, "MANIFEST_INVALID")


async def test_a_document_without_a_media_type_has_that_of_its_push(pusher: Client) -> None:
    original = manifest(CONFIG, LAYER, media_type="")
    assert (await pusher.put_manifest("a/b", "v1", original)).status == 201
    assert (await pusher.get_manifest("a/b", "v1")).headers["Content-Type"] == mediatypes.IMAGE_MANIFEST


@pytest.mark.parametrize(("size", "status"), [(MAX_MANIFEST, 201), (MAX_MANIFEST + 1, 413)])
async def test_a_manifest_has_a_largest_size(pusher: Client, size: int, status: int) -> None:
    content = MANIFEST + b" " * (size - len(MANIFEST))
    answer = await pusher.put_manifest("a/b", "v1", content)
    assert (answer.status, answer.code) == (status, "" if status == 201 else "TOO_LARGE")


def index(*manifests: bytes, **fields: Any) -> bytes:
    children = [
        {"mediaType": mediatypes.IMAGE_MANIFEST, "digest": Digest.of(x), "size": len(x)} | fields for x in manifests
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": mediatypes.IMAGE_INDEX, "manifests": children}).encode()


async def test_an_index_comes_after_its_manifests(pusher: Client) -> None:
    content = index(MANIFEST)
    kind = {"Content_Type": mediatypes.IMAGE_INDEX}
    assert (await pusher.put_manifest("a/b", "all", content, **kind)).refusal == (400, "MANIFEST_BLOB_UNKNOWN")
    await pusher.put_manifest("a/b", DIGEST, MANIFEST)
    for size in (len(MANIFEST) + 1, 1 << 62, 10**30):
        wrong = await pusher.put_manifest("a/b", "all", index(MANIFEST, size=size), **kind)
        assert wrong.refusal == (400, "MANIFEST_INVALID")
    assert (await pusher.put_manifest("a/b", "all", content, **kind)).status == 201
    read = await pusher.get_manifest("a/b", "all")
    assert (read.body, read.headers["Content-Type"]) == (content, mediatypes.IMAGE_INDEX)


async def test_a_tag_moves_only_from_where_it_was_expected(pusher: Client) -> None:
    first, second = f'"{DIGEST}"', f'"{Digest.of(OTHER)}"'
    put = pusher.put_manifest
    assert (await put("a/b", "v1", MANIFEST, If_Match=second)).refusal == (412, "TAG_MOVED")
    assert (await put("a/b", "v1", MANIFEST, If_None_Match="*")).status == 201
    assert (await put("a/b", "v1", OTHER, If_None_Match="*")).refusal == (412, "TAG_EXISTS")
    assert (await put("a/b", "v1", OTHER, If_Match=second)).refusal == (412, "TAG_MOVED")
    etag = (await pusher.get_manifest("a/b", "v1")).headers["ETag"]
    assert etag == first
    assert (await put("a/b", "v1", OTHER, If_Match=etag)).status == 201
    assert (await pusher.get_manifest("a/b", "v1")).body == OTHER
    assert (await put("a/b", DIGEST, MANIFEST, If_None_Match="*")).refusal == (412, "TAG_EXISTS")


async def test_one_of_many_concurrent_creates_of_a_tag_wins(pusher: Client) -> None:
    contents = [manifest(CONFIG, *[LAYER] * n) for n in range(20)]
    answers = await asyncio.gather(*(pusher.put_manifest("a/b", "v1", c, If_None_Match="*") for c in contents))
    assert sorted(answer.status for answer in answers) == [201] + [412] * 19
    done = [content for content, answer in zip(contents, answers, strict=True) if answer.status == 201]
    assert [(await pusher.get_manifest("a/b", "v1")).body] == done


@pytest.mark.parametrize("header", [{"If_Match": "v1"}, {"If_Match": "*"}, {"If_None_Match": f'"{DIGEST}"'}])
async def test_a_condition_that_cannot_be_read_is_refused(pusher: Client, header: dict[str, str]) -> None:
    assert (await pusher.put_manifest("a/b", "v1", MANIFEST, **header)).refusal == (400, "UNSUPPORTED")


async def test_a_deleted_tag_leaves_the_manifest(pusher: Client) -> None:
    for tag in ("v1", "v2"):
        await pusher.put_manifest("a/b", tag, MANIFEST)
    assert (await pusher.ask("DELETE", "/v2/a/b/manifests/v1")).status == 202
    assert (await pusher.get_manifest("a/b", "v1")).refusal == (404, "MANIFEST_UNKNOWN")
    assert (await pusher.ask("DELETE", "/v2/a/b/manifests/v1")).refusal == (404, "MANIFEST_UNKNOWN")
    assert (await pusher.get_manifest("a/b", "v2")).body == (await pusher.get_manifest("a/b", DIGEST)).body == MANIFEST


async def test_a_deleted_manifest_takes_its_tags_with_it(pusher: Client) -> None:
    for tag in ("v1", "v2"):
        await pusher.put_manifest("a/b", tag, MANIFEST)
    await pusher.put_manifest("a/b", "v3", OTHER)
    assert (await pusher.ask("DELETE", f"/v2/a/b/manifests/{DIGEST}")).status == 202
    for target in ("v1", "v2", DIGEST):
        assert (await pusher.get_manifest("a/b", target)).refusal == (404, "MANIFEST_UNKNOWN")
    assert (await pusher.ask("DELETE", f"/v2/a/b/manifests/{DIGEST}")).refusal == (404, "MANIFEST_UNKNOWN")
    assert (await pusher.get_manifest("a/b", "v3")).body == OTHER


async def test_a_version_in_use_is_deleted_only_if_it_is_forced(tmp_path: Path) -> None:
    asked = list[tuple[list[str], Digest | None, bool]]()

    async def in_use(_repository: str, tags: Sequence[str], digest: Digest | None, *, removed: bool) -> list[str]:
        asked.append((list(tags), digest, removed))
        return ["serving team/digits"]

    async with serving(tmp_path / "registry", in_use=in_use) as served:
        digest = await served.client.push("a/b", "v1")
        for target in ("v1", digest):
            answer = await served.client.ask("DELETE", f"/v2/a/b/manifests/{target}")
            assert answer.refusal == (409, "VERSION_IN_USE")
            assert "serving team/digits" in answer.json["errors"][0]["message"]
        await served.client.push("a/b", "v2")
        await served.client.ask("DELETE", "/v2/a/b/manifests/v1")
        assert asked == [(["v1"], digest, False), (["v1"], digest, True), (["v1"], None, False)]
        assert (await served.client.ask("DELETE", f"/v2/a/b/manifests/{digest}?force=true")).status == 202
        assert (await served.client.get_manifest("a/b", "v1")).status == 404
