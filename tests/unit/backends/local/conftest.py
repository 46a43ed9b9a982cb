"""A local backend with real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from klever.backends.local import LocalBackend
from tests.unit.backends.local.machine import Machine


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    await machine.close()


@pytest.fixture
async def backend(machine: Machine) -> LocalBackend:
    return await machine.backend()
