"""A registry that is known only by the distribution API."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from klever.catalog.catalogue import Catalogue
from klever.catalog.oci import OciCatalogue
from klever.oci.client import RegistryClient
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

    async def test_a_list_is_read_by_eight_clients_at_a_time(
        self, catalogue: Catalogue, author: Author, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(16):
            await author.push(f"team/digits:v{number:02}", 2000 + number)
        together = threading.Barrier(8, timeout=30)
        real = RegistryClient.get_manifest

        def wait(client: RegistryClient, *arguments: Any) -> Any:
            together.wait()
            return real(client, *arguments)

        monkeypatch.setattr(RegistryClient, "get_manifest", wait)
        page, more = await catalogue.versions("team/digits", offset=0, limit=16)
        assert [version.reference.tag for version in page if version] == [f"v{number:02}" for number in range(16)]
        assert not more
        assert not together.n_waiting
