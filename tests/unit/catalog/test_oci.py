"""A registry that is known only by the distribution API."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.catalog.catalogue import Catalogue
from klever.catalog.oci import OciCatalogue
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.oci.registries import Registries
from tests.contract.catalogue import CatalogueContract
from tests.unit.server.conftest import Author


class TestOci(CatalogueContract):
    @pytest.fixture
    def catalogue(self, registries: Registries, tmp_path: Path) -> Catalogue:
        return OciCatalogue(registries, Layout(tmp_path / "metadata"), poll=0.05)

    @pytest.mark.parametrize("damage", [b"", b"damaged"])
    async def test_damaged_metadata_is_fetched_again(
        self, registries: Registries, tmp_path: Path, author: Author, damage: bytes
    ) -> None:
        await author.push("team/digits:v1", 2026)
        reference = Reference("team/digits", tag="v1")
        known = await OciCatalogue(registries, Layout(tmp_path / "metadata")).resolve(reference)
        kept = list((tmp_path / "metadata/blobs/sha256").iterdir())
        assert kept
        for path in kept:
            path.write_bytes(damage)
        assert await OciCatalogue(registries, Layout(tmp_path / "metadata")).resolve(reference) == known
