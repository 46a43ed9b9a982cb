"""Attacks on a running platform. One module per finding; each test shows the attack and that it has no effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.triton import deploy_echo
from tests.e2e.platform import Platform


@pytest.fixture(scope="session")
def shared_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform for attacks that it must survive unchanged: it runs `klever up` with its defaults."""
    platform = Platform(Path(tmp_path_factory.mktemp("attacked")))
    platform.start()
    yield platform
    platform.clean_up()


@pytest.fixture(scope="session")
def echo(shared_platform: Platform) -> Platform:
    """The shared platform, with the Serving of tests/attacks/triton.py on it."""
    deploy_echo(shared_platform)
    return shared_platform


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform that one test may damage."""
    platform = Platform(tmp_path / "attacked")
    yield platform
    platform.clean_up()
