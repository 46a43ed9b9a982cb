"""The contract of a catalogue (`klever.catalog.catalogue`); the test of each implementation gives `catalogue`.

`shop` pushes to the registry that the catalogue reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from klever.catalog.catalogue import MAX_ATTACHMENT_BYTES, Catalogue, Push, Version
from klever.errors import ConflictError, InvalidError, NotFoundError
from klever.oci.reference import Reference
from tests.unit.server.conftest import Author

REPOSITORY = "team/digits"
DEADLINE = 30.0


def names(versions: list[Version | None]) -> list[str]:
    return [version.reference.tag for version in versions if version]


async def until(pushes: AsyncIterator[Push], wanted: Callable[[Push], bool]) -> Push:
    async with asyncio.timeout(DEADLINE):
        async for push in pushes:
            if wanted(push):
                return push
    raise AssertionError("the notifications ended")


class CatalogueContract:
    @pytest.fixture
    def catalogue(self) -> Catalogue:
        raise NotImplementedError

    async def test_an_empty_registry_has_nothing(self, catalogue: Catalogue) -> None:
        assert await catalogue.projects() == {}
        assert await catalogue.models() == []
        assert await catalogue.count(REPOSITORY) == 0
        with pytest.raises(NotFoundError) as missing:
            await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        assert missing.value.reason == "MODEL_NOT_FOUND"
        with pytest.raises(NotFoundError):
            await catalogue.versions(REPOSITORY, offset=0, limit=10)

    async def test_projects_models_and_versions_are_listed(self, catalogue: Catalogue, author: Author) -> None:
        for number, name in enumerate(("team/digits:v2", "team/digits:v1", "team/other:v1", "zoo/cats:v1")):
            await author.push(name, 2026 - number)
        await author.push_image("team/digits:image")
        assert await catalogue.projects() == {"team": 2, "zoo": 1}
        assert await catalogue.models() == ["team/digits", "team/other", "zoo/cats"]
        assert await catalogue.models("team") == ["team/digits", "team/other"]
        page, more = await catalogue.versions(REPOSITORY, offset=0, limit=10)
        assert (names(page), more) == (["v1", "v2"], False)
        page, more = await catalogue.versions(REPOSITORY, containing="v", offset=0, limit=1)
        assert (names(page), more) == (["v1"], True)
        page, more = await catalogue.versions(REPOSITORY, containing="v", offset=1, limit=1)
        assert (names(page), more) == (["v2"], False)
        assert names([*await catalogue.versions_by_time(REPOSITORY)]) == ["v1", "v2"]
        latest = await catalogue.latest(REPOSITORY)
        assert latest is not None
        assert latest.reference.tag == "v2"

    async def test_a_version_is_resolved_with_its_metadata(self, catalogue: Catalogue, author: Author) -> None:
        await author.push("team/digits:v1")
        version = await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        assert (version.metadata.format, version.dialect, str(version.reference)) == ("ONNX", "ormb", "team/digits:v1")
        assert version.created.year == 2026
        pinned = await catalogue.resolve(version.pinned)
        assert (pinned.digest, pinned.content, pinned.reference) == (version.digest, version.content, version.pinned)

    async def test_a_manifest_without_a_model_is_refused(self, catalogue: Catalogue, author: Author) -> None:
        await author.push_image("team/digits:image")
        with pytest.raises(InvalidError) as refused:
            await catalogue.resolve(Reference(REPOSITORY, tag="image"))
        assert refused.value.reason == "NOT_A_MODEL"

    async def test_documents_that_refer_to_a_version_are_read_by_their_type(
        self, catalogue: Catalogue, author: Author
    ) -> None:
        subject = await author.push_described("team/digits:v1", "author: one")
        other = await author.push_described("team/digits:v2", "author: two")
        for content, type_ in (
            (b"1", "application/a+json"),
            (b"2", "application/b+json"),
            (b"3", "application/a+json"),
        ):
            await author.attach(REPOSITORY, subject, type_, content, {"of": "v1"})
        await author.attach(REPOSITORY, other, "application/a+json", b"4", {})
        await author.attach(REPOSITORY, subject, "application/a+json", b"x" * (MAX_ATTACHMENT_BYTES + 1), {})
        version = await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        found = await catalogue.attachments(version, "application/a+json")
        assert sorted(attachment.content for attachment in found) == [b"1", b"3"]
        assert {attachment.annotations["of"] for attachment in found} == {"v1"}
        assert await catalogue.attachments(version, "application/c+json") == []

    async def test_a_tag_is_set_only_while_it_names_what_the_caller_expects(
        self, catalogue: Catalogue, author: Author
    ) -> None:
        await author.push("team/digits:v1", 2025)
        await author.push("team/digits:v2", 2026)
        first, second = [await catalogue.resolve(Reference(REPOSITORY, tag=tag)) for tag in ("v1", "v2")]
        await catalogue.tag(first, "stable", None)
        assert (await catalogue.resolve(Reference(REPOSITORY, tag="stable"))).digest == first.digest
        with pytest.raises(ConflictError):
            await catalogue.tag(second, "stable", second.digest)
        await catalogue.tag(second, "stable", first.digest)
        assert (await catalogue.resolve(Reference(REPOSITORY, tag="stable"))).digest == second.digest

    async def test_a_deleted_version_is_gone(self, catalogue: Catalogue, author: Author) -> None:
        await author.push("team/digits:v1")
        version = await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        await catalogue.tag(version, "v2", None)
        await catalogue.delete(Reference(REPOSITORY, tag="v1"))
        with pytest.raises(NotFoundError):
            await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        assert names((await catalogue.versions(REPOSITORY, offset=0, limit=10))[0]) == ["v2"]
        with pytest.raises(NotFoundError) as missing:
            await catalogue.delete(Reference(REPOSITORY, tag="v1"))
        assert missing.value.reason == "MODEL_NOT_FOUND"

    async def test_the_contents_of_tagged_versions_are_told(self, catalogue: Catalogue, author: Author) -> None:
        await author.push("team/digits:v1")
        await author.push("team/other:v1", 2025)  # differs in metadata alone
        await author.push_image("team/digits:image")
        version = await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        assert {content async for content in catalogue.contents()} == {version.content}
        for repository in (REPOSITORY, "team/other"):
            await catalogue.delete(Reference(repository, tag="v1"))
        assert [content async for content in catalogue.contents()] == []

    async def test_versions_and_then_pushes_are_told(self, catalogue: Catalogue, author: Author) -> None:
        await author.push("team/digits:v1")
        pushes = catalogue.notifications()
        known = await until(pushes, lambda push: push.tag == "v1")
        version = await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
        assert (known.repository, known.digest, known.new) == (REPOSITORY, version.digest, False)
        waiting = asyncio.create_task(until(pushes, lambda push: push.new and push.tag == "v2"))
        await author.push("team/digits:v2", 2027)
        pushed = await waiting
        assert pushed.digest == (await catalogue.resolve(Reference(REPOSITORY, tag="v2"))).digest
