"""A registry that is known only by the distribution API."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from klever.catalog import oci
from klever.catalog.catalogue import Catalogue
from klever.catalog.oci import OciCatalogue
from klever.errors import NotFoundError, UnavailableError
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

    @pytest.mark.parametrize(("hosts", "most"), [(1, 4), (24, 8)])
    async def test_slow_registries_hold_few_callers(
        self, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: int, most: int
    ) -> None:
        """24 Servings of slow registries held all workers, so no other Serving became ready."""
        monkeypatch.setattr(oci, "_PATIENCE_FOR_TURN", 0.05)
        catalogue = OciCatalogue(registries, Layout(tmp_path / "metadata"))
        answers, asked, real = threading.Event(), list[str](), Registries.resolve

        def resolve(table: Registries, reference: Reference) -> Any:
            asked.append(reference.host)
            return real(table, replace(reference, host=""))

        def wait(*_arguments: Any) -> Any:
            assert answers.wait(60)
            raise NotFoundError("no")

        monkeypatch.setattr(Registries, "resolve", resolve)
        monkeypatch.setattr(RegistryClient, "get_manifest", wait)
        slow = [Reference.parse(f"slow{number % hosts}.example/team/x:v1") for number in range(24)]
        results = [asyncio.create_task(catalogue.resolve(reference)) for reference in slow]
        refused = [task for _, task in zip(range(24 - most), asyncio.as_completed(results), strict=False)]
        done = await asyncio.gather(*refused, return_exceptions=True)
        waiting = [task for task in results if not task.done()]
        assert len(asked) == most
        assert {type(error) for error in done} == {UnavailableError}
        answers.set()
        assert {type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)} == {NotFoundError}
