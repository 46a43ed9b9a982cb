"""What `make unit` selects needs Python alone."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from hack.kubernetes.cluster import Cluster
from tests.e2e.platform import Platform
from tests.unit.backends.local.machine import Machine
from tests.unit.routers.test_envoy import BINARY

MAKEFILE = Path(__file__).parents[2] / "Makefile"
FIXTURES = {"cluster", "grpcurl", "kubeconfig", "machine", "make_disk", "own_cluster"}
"""Fixtures that start a part, or need root."""
PARTS = (Cluster, Machine, Platform, BINARY)
"""What a test module imports to start a cluster, Triton, a platform or Envoy."""


def test_tests_without_a_marker_start_no_real_part(request: pytest.FixtureRequest) -> None:
    (unit,) = re.findall(r"^UNIT := not \((.*)\)$", MAKEFILE.read_text(), re.MULTILINE)
    left_out = set(unit.split(" or "))
    for item in request.session.items:
        assert isinstance(item, pytest.Function)
        if item.function is not request.function and left_out.isdisjoint(mark.name for mark in item.iter_markers()):
            assert FIXTURES.isdisjoint(item.fixturenames), item.nodeid
            assert not imported(item.module), item.nodeid


def imported(module: ModuleType) -> list[object]:
    return [value for value in vars(module).values() if any(value is part for part in PARTS)]
