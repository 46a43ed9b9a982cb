"""A registry to talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.registry.client import Client, Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "registry") as served:
        yield served


@pytest.fixture
def client(served: Served) -> Client:
    """One with the right token."""
    return served.client
