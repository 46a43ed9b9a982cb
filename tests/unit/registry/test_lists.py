"""What a registry tells of what it holds: tags, repositories, referrers, page by page."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from urllib.parse import parse_qs, urlsplit

import apsw
import pytest

from klever.oci import mediatypes
from klever.oci.digest import Digest
from tests.unit.registry.client import Answer, Client, manifest, serving

CONFIG = b"{}"
TAGS = sorted([f"v{n}" for n in range(20)] + ["latest", "_a", "A"])


def next_page(answer: Answer) -> str:
    """The path that `Link` leads to; empty without one."""
    link = answer.headers.get("Link", "")
    return link.removeprefix("<").removesuffix('>; rel="next"')


async def pages(client: Client, path: str) -> list[Answer]:
    found = []
    while path:
        found.append(await client.ask("GET", path))
        assert found[-1].status == 200
        path = next_page(found[-1])
    return found


async def push_tags(client: Client, repository: str, tags: list[str]) -> None:
    await client.put_blob(repository, CONFIG)
    for tag in Random(1).sample(tags, len(tags)):
        assert (await client.put_manifest(repository, tag, manifest(CONFIG))).status == 201


async def test_tags_come_in_order_page_by_page(client: Client) -> None:
    await push_tags(client, "a/b", TAGS)
    await push_tags(client, "a/other", ["x"])
    reader = client.anonymous()
    whole = await reader.ask("GET", "/v2/a/b/tags/list")
    assert (whole.json, next_page(whole)) == ({"name": "a/b", "tags": TAGS}, "")
    for size in (1, 5, len(TAGS) - 1, len(TAGS), 5000):
        answers = await pages(reader, f"/v2/a/b/tags/list?n={size}")
        assert [tag for answer in answers for tag in answer.json["tags"]] == TAGS
        assert all(len(answer.json["tags"]) == size for answer in answers[:-1])
        assert answers[-1].json["tags"]


async def test_a_page_goes_on_beyond_a_tag_that_is_gone(client: Client) -> None:
    await push_tags(client, "a/b", ["a", "b", "c"])
    first = await client.ask("GET", "/v2/a/b/tags/list?n=2")
    await client.ask("DELETE", "/v2/a/b/manifests/b")
    assert (await client.ask("GET", next_page(first))).json["tags"] == ["c"]


async def test_no_tags_and_no_repository_differ(client: Client) -> None:
    await client.put_blob("a/b", CONFIG)
    assert (await client.ask("GET", "/v2/a/b/tags/list")).json == {"name": "a/b", "tags": []}
    assert (await client.ask("GET", "/v2/no/such/tags/list")).refusal == (404, "NAME_UNKNOWN")
    await push_tags(client, "a/b", ["v1"])
    none = await client.ask("GET", "/v2/a/b/tags/list?n=0")
    assert (none.json["tags"], next_page(none)) == ([], "")


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "", "%C2%B2"])
@pytest.mark.parametrize("path", ["/v2/a/b/tags/list", "/v2/_catalog", f"/v2/a/b/referrers/{Digest.of(b'')}"])
async def test_a_page_of_no_size_is_refused(client: Client, path: str, wrong: str) -> None:
    await push_tags(client, "a/b", ["v1"])
    assert (await client.ask("GET", f"{path}?n={wrong}")).refusal == (400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("last", ["%00", "%FF", "%ED%A0%80", "..%2F", "'%20OR%201=1", "x" * 5000])
@pytest.mark.parametrize("path", ["/v2/a/b/tags/list", "/v2/_catalog", f"/v2/a/b/referrers/{Digest.of(b'')}"])
async def test_any_text_may_be_the_last_seen(client: Client, path: str, last: str) -> None:
    await push_tags(client, "a/b", ["v1"])
    assert (await client.ask("GET", f"{path}?last={last}")).status in {200, 400}


async def test_repositories_with_a_manifest_come_page_by_page(client: Client) -> None:
    names = [f"project{n}/model" for n in range(7)]
    for name in reversed(names):
        await push_tags(client, name, ["v1", "v2"])
    await client.put_blob("only/blobs", CONFIG)
    assert (await client.ask("GET", "/v2/_catalog")).json == {"repositories": names}
    answers = await pages(client.anonymous(), "/v2/_catalog?n=3")
    assert [answer.json["repositories"] for answer in answers] == [names[:3], names[3:6], names[6:]]
    digest = Digest.of(manifest(CONFIG))
    await client.ask("DELETE", f"/v2/{names[0]}/manifests/{digest}")
    assert (await client.ask("GET", "/v2/_catalog")).json == {"repositories": names[1:]}


def about(subject: Digest, kind: str, number: int) -> bytes:
    document = json.loads(manifest(CONFIG)) | {
        "artifactType": kind,
        "subject": {"mediaType": mediatypes.IMAGE_MANIFEST, "digest": subject, "size": 2},
        "annotations": {"number": str(number)},
    }
    return json.dumps(document).encode()


async def test_referrers_are_listed_by_subject_and_type(client: Client) -> None:
    await client.put_blob("a/b", CONFIG)
    subject = Digest.of(manifest(CONFIG))  # need not be there yet
    pushed: dict[str, str] = {}
    for number in range(5):
        kind = ("x/signature", "x/card")[number % 2]
        answer = await client.put_manifest("a/b", f"r{number}", content := about(subject, kind, number))
        assert (answer.status, answer.headers["OCI-Subject"]) == (201, subject)
        pushed[Digest.of(content)] = kind
    await client.put_manifest("a/b", "none", about(Digest.of(b"another"), "x/card", 9))

    path = f"/v2/a/b/referrers/{subject}"
    all_of_them = await client.anonymous().ask("GET", path)
    assert all_of_them.headers["Content-Type"] == mediatypes.IMAGE_INDEX
    assert {x["digest"]: x["artifactType"] for x in all_of_them.json["manifests"]} == pushed
    assert all_of_them.json["manifests"][0]["annotations"]["number"] in "01234"
    cards = await client.ask("GET", f"{path}?artifactType=x/card")
    assert cards.headers["OCI-Filters-Applied"] == "artifactType"
    assert {x["digest"] for x in cards.json["manifests"]} == {x for x, kind in pushed.items() if kind == "x/card"}

    answers = await pages(client, f"{path}?n=2")
    assert [x["digest"] for answer in answers for x in answer.json["manifests"]] == sorted(pushed)
    filtered = await pages(client, f"{path}?artifactType=x/signature&n=1")
    assert len(filtered) == 3
    assert parse_qs(urlsplit(next_page(filtered[0])).query)["artifactType"] == ["x/signature"]

    await client.ask("DELETE", f"/v2/a/b/manifests/{min(pushed)}")
    assert len((await client.ask("GET", path)).json["manifests"]) == 4


async def test_a_page_of_large_referrers_is_short(client: Client) -> None:
    """A page of a hundred could have 400 MB: each manifest may have 4 MiB of annotations."""
    await client.put_blob("a/b", CONFIG)
    subject, pushed = Digest.of(b"it"), set()
    for number in range(5):
        document = json.loads(about(subject, "x/card", number))
        document["annotations"]["text"] = "x" * 900_000
        content = json.dumps(document).encode()
        assert (await client.put_manifest("a/b", f"r{number}", content)).status == 201
        pushed.add(Digest.of(content))
    answers = await pages(client.anonymous(), f"/v2/a/b/referrers/{subject}")
    assert [len(answer.json["manifests"]) for answer in answers] == [2, 2, 1]
    assert {x["digest"] for answer in answers for x in answer.json["manifests"]} == pushed


@pytest.mark.parametrize("name", ["a/b", "no/such"])
async def test_nothing_about_a_digest_is_an_empty_index(client: Client, name: str) -> None:
    answer = await client.ask("GET", f"/v2/{name}/referrers/{Digest.of(b'x')}")
    assert (answer.status, answer.json["manifests"]) == (200, [])
    assert (await client.ask("GET", f"/v2/{name}/referrers/x")).refusal == (400, "DIGEST_INVALID")


async def test_damaged_referrers_hide_no_others(tmp_path: Path) -> None:
    subject = Digest.of(manifest(CONFIG))
    async with serving(tmp_path / "registry") as served:
        await served.client.put_blob("a/b", CONFIG)
        contents = [about(subject, "x/card", number) for number in range(6)]
        for number, content in enumerate(contents):
            await served.client.put_manifest("a/b", f"r{number}", content)
    *damaged, last = sorted(map(Digest.of, contents))
    with apsw.Connection(str(tmp_path / "registry" / "registry.db")) as db:
        db.executemany("UPDATE manifests SET content = x'7b7d' WHERE digest = ?", [(one,) for one in damaged])
    db.close()
    async with serving(tmp_path / "registry") as served:
        answers = await pages(served.client, f"/v2/a/b/referrers/{subject}?n=2")
        assert [x["digest"] for answer in answers for x in answer.json["manifests"]] == [last]
