"""The rollout drill on a real platform, over both stores: no request fails, and no field of a spec is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drill.platform import FLAGS, Drill, prepare
from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform

SEEDS = range(10)
STEPS = 5


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    """One platform for all seeds of a store."""
    platform = Platform(Path(tmp_path_factory.mktemp("drill")), (*FLAGS, *objects.fresh()))
    try:
        platform.start()
        prepare(platform)
        yield platform
    finally:
        platform.clean_up()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_request_fails_and_no_field_is_lost(platform: Platform, seed: int) -> None:
    drill = Drill(platform, seed)
    drill.run(STEPS)
    assert drill.load.seconds
    assert (drill.load.failed, drill.lost) == ([], []), drill.log
