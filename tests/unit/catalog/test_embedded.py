"""The embedded registry, read in process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from klever.artifacts.dialects import ormb
from klever.catalog.catalogue import Catalogue
from klever.catalog.embedded import EmbeddedCatalogue, Pushes
from klever.catalog.oci import OciCatalogue
from klever.errors import InvalidError
from klever.oci import mediatypes
from klever.oci.layout import Layout
from klever.oci.manifest import Manifest
from klever.oci.reference import Reference
from klever.oci.registries import Registries
from klever.registry.records import StoredManifest
from klever.registry.registry import Registry
from tests.contract.catalogue import REPOSITORY, CatalogueContract, until
from tests.unit.server.conftest import Author


class TestEmbedded(CatalogueContract):
    @pytest.fixture
    def catalogue(self, registry: Registry, pushes: Pushes, registries: Registries, tmp_path: Path) -> Catalogue:
        return EmbeddedCatalogue(registry, pushes, OciCatalogue(registries, Layout(tmp_path / "metadata")))

    async def test_a_push_tells_its_media_types(self, catalogue: Catalogue, author: Author) -> None:
        await author.push("team/digits:v1")
        push = await until(catalogue.notifications(), lambda push: push.new)
        assert (push.media_type, push.config_media_type) == (mediatypes.IMAGE_MANIFEST, ormb.CONFIG)

    async def test_it_needs_no_answer_by_http(self, catalogue: Catalogue, author: Author, awake: asyncio.Event) -> None:
        await author.push("team/digits:v1")
        awake.clear()
        async with asyncio.timeout(30):
            version = await catalogue.resolve(Reference(REPOSITORY, tag="v1"))
            await catalogue.tag(version, "v2", None)
            await catalogue.delete(Reference(REPOSITORY, tag="v1"))
            assert await catalogue.count(REPOSITORY) == 1

    async def test_a_manifest_that_is_no_model_is_read_once(
        self, catalogue: Catalogue, registry: Registry, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A list of sixty manifests of 3 MiB, each with 26,000 layers, kept the control plane busy for 16 s."""
        await author.push("team/digits:v1")
        stored = registry.manifest(REPOSITORY, "v1")
        document = json.loads(stored.content)
        document["layers"] *= 2
        content = json.dumps(document).encode()
        await registry.put_manifest(REPOSITORY, "bad", content, stored.media_type)
        parsed = list[bytes]()
        parse = Manifest.parse

        def counted(content: bytes, what: str = "") -> Manifest:
            parsed.append(content)
            return parse(content, what)

        monkeypatch.setattr(Manifest, "parse", counted)
        for _ in range(3):
            page, _ = await catalogue.versions(REPOSITORY, offset=0, limit=10)
            assert [version and version.reference.tag for version in page] == [None, "v1"]
            assert len([found async for found in catalogue.contents()]) == 1
        assert parsed.count(content) == 1

    async def test_a_list_does_not_read_large_manifests(
        self, catalogue: Catalogue, registry: Registry, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A first list of sixty manifests of 3.4 MB took 25 s."""
        await author.push("team/digits:v1")
        stored = registry.manifest(REPOSITORY, "v1")
        layer = json.loads(stored.content)["layers"][0] | {"annotations": {"title": "x" * 150}}
        document = json.loads(stored.content) | {"layers": [layer] * 9_000}
        for number in range(3):
            content = json.dumps(document | {"annotations": {"number": str(number)}}).encode()
            await registry.put_manifest(REPOSITORY, f"large{number}", content, stored.media_type)
        read = list[str]()
        manifest = registry.manifest

        def counted(repository: str, target: str) -> StoredManifest:
            read.append(target)
            return manifest(repository, target)

        monkeypatch.setattr(registry, "manifest", counted)
        page, _ = await catalogue.versions(REPOSITORY, offset=0, limit=10)
        assert [version and version.reference.tag for version in page] == [None, None, None, "v1"]
        assert len([found async for found in catalogue.contents()]) == 1
        latest = await catalogue.latest(REPOSITORY)
        assert latest is not None
        assert latest.reference.tag == "v1"
        with pytest.raises(InvalidError) as refused:
            await catalogue.resolve(Reference(REPOSITORY, tag="large0"))
        assert refused.value.metadata == {"limit": "model_manifest_bytes"}
        assert set(read) == {str(stored.digest)}
