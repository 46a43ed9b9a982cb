"""Variables of a process, as Kubernetes writes them."""

from __future__ import annotations

from typing import Any

from klever.process.variables import check_variables, variables


def test_values_by_name() -> None:
    assert variables([{"name": "A"}, {"name": "B", "value": "b"}]) == {"A": "", "B": "b"}


def test_a_variable_that_no_process_can_have_is_named() -> None:
    env: list[dict[str, Any]] = [
        {"name": "A"},
        {"name": "B", "value": "x\0"},
        {"name": "C", "valueFrom": {"fieldRef": {}}},
    ]
    assert [violation.field for violation in check_variables(env)] == ["env[B].value", "env[C].valueFrom"]
