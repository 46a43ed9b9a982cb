"""Quantities as limits of a process."""

from __future__ import annotations

from typing import Any

import pytest

from klever.backends.local.resources import Resources, check_resources, read_resources


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({}, Resources()),
        ({"cpu": "500m", "memory": "512Mi"}, Resources(0.5, 512 << 20)),
        ({"cpu": 2, "memory": "1.5G", "gpu": "0"}, Resources(2.0, 1_500_000_000)),
        ({"memory": "1048576"}, Resources(0.0, 1 << 20)),
    ],
)
def test_quantities_are_limits(resources: dict[str, Any], limits: Resources) -> None:
    assert not list(check_resources(resources))
    assert read_resources(resources) == limits


@pytest.mark.parametrize(
    ("resources", "field"),
    [({"cpu": "2Gi"}, "resources.cpu"), ({"memory": "-1"}, "resources.memory"), ({"gpu": 1}, "resources.gpu")],
)
def test_what_a_process_is_not_given_is_refused(resources: dict[str, Any], field: str) -> None:
    assert [violation.field for violation in check_resources(resources)] == [field]
