"""Quantities as limits of a process."""

from __future__ import annotations

from typing import Any

import pytest

from klever.process.resources import Resources, check_resources, read_resources


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        ({}, Resources()),
        ({"limits": {"cpu": "500m", "memory": "512Mi"}}, Resources(0.5, 512 << 20)),
        ({"limits": {"cpu": 2, "memory": "1.5G", "nvidia.com/gpu": "0"}}, Resources(2.0, 1_500_000_000)),
        ({"limits": {"memory": "1048576"}, "requests": {"cpu": 4}}, Resources(0.0, 1 << 20)),
        ({"requests": {"memory": "1Gi"}}, Resources(requested_bytes=1 << 30)),
    ],
)
def test_quantities_are_limits(resources: dict[str, Any], limits: Resources) -> None:
    assert not list(check_resources(resources))
    assert read_resources(resources) == limits


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ({"limits": {"cpu": "two"}}, "resources.limits.cpu"),
        ({"limits": {"memory": "-1"}}, "resources.limits.memory"),
        ({"limits": {"memory": "8Ei"}}, "resources.limits.memory"),
        ({"limits": {"nvidia.com/gpu": 1}}, "resources.limits.nvidia.com/gpu"),
        ({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}, "resources.requests.cpu"),
    ],
)
def test_an_unavailable_resource_is_refused(resources: dict[str, Any], field: str) -> None:
    assert [violation.field for violation in check_resources(resources)] == [field]
