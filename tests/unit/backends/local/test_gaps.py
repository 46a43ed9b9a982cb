"""A replica says what its sandbox does not enforce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from klever.process import Level
from tests.contract.backend import until_ready, workload
from tests.unit.backends.local.machine import Machine, command, strongest

pytestmark = pytest.mark.slow


class Older:
    """The confinement of this machine, as on an older kernel."""

    gaps = ("something (before Linux 99)",)

    def __init__(self) -> None:
        self._real = strongest()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.skipif(strongest().level is Level.NONE, reason="no sandbox works on this machine")
async def test_a_replica_names_the_gaps_of_its_sandbox(tmp_path: Path) -> None:
    machine = Machine(tmp_path, confinement=Older())
    try:
        backend = await machine.backend()
        await backend.ensure(workload(command()))
        (instance,) = await until_ready(backend, 1)
        assert (instance.sandbox, instance.sandbox_gaps) == (strongest().level, Older.gaps)
    finally:
        await machine.close()
