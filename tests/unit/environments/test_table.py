"""Every row of the table can be installed as it stands."""

from __future__ import annotations

import re

import pytest

from klever.environments import ENVIRONMENTS, Environment


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=str)
def test_a_lock_pins_every_package_by_hash(environment: Environment) -> None:
    content = re.sub(r"^#.*\n", "", environment.lock.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    for requirement in content.splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( +--hash=sha256:[0-9a-f]{64})+", requirement), requirement


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=str)
def test_a_lock_names_no_index(environment: Environment) -> None:
    assert "//" not in environment.lock.read_text()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_row_is_found_by_its_name(name: str) -> None:
    assert ENVIRONMENTS[name].name == name
    assert ENVIRONMENTS[name].description
