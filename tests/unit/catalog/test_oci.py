"""A registry that is known only by the distribution API."""

from __future__ import annotations

from pathlib import Path

import pytest

from klever.catalog.catalogue import Catalogue
from klever.catalog.oci import OciCatalogue
from klever.oci.layout import Layout
from klever.oci.registries import Registries
from tests.contract.catalogue import CatalogueContract


class TestOci(CatalogueContract):
    @pytest.fixture
    def catalogue(self, registries: Registries, tmp_path: Path) -> Catalogue:
        return OciCatalogue(registries, Layout(tmp_path / "metadata"), poll=0.05)
