"""The embedded registry, read in process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from klever.artifacts.dialects import ormb
from klever.catalog.catalogue import Catalogue
from klever.catalog.embedded import EmbeddedCatalogue, Pushes
from klever.catalog.oci import OciCatalogue
from klever.oci import mediatypes
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.oci.registries import Registries
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
