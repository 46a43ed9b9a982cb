"""Drift: whether an object on a cluster still is what was applied."""

from __future__ import annotations

from typing import Any

import pytest

from klever.kube.drift import covers, mark

WANTED = {"spec": {"replicas": 2, "env": [{"name": "A", "value": ""}], "limits": {"cpu": "1000m", "gpu": 1}}}


def live(**changed: Any) -> dict[str, Any]:
    spec = {"replicas": 2, "env": [{"name": "A"}], "limits": {"cpu": "1", "gpu": "1"}, "paused": False, **changed}
    return {"spec": spec, "status": {"replicas": 1}}


def test_what_a_server_adds_and_writes_anew_is_no_drift() -> None:
    assert covers(live(), WANTED)
    assert covers({}, {"imagePullSecrets": [], "resources": {}})


@pytest.mark.parametrize(
    "changed",
    [
        {"replicas": 3},
        {"replicas": None},
        {"env": [{"name": "A"}, {"name": "B"}]},
        {"env": []},
        {"limits": {"cpu": "2", "gpu": "1"}},
        {"limits": {"cpu": "1"}},
    ],
)
def test_a_change_by_hand_is_drift(changed: dict[str, Any]) -> None:
    assert not covers(live(**changed), WANTED)


def test_a_switch_that_was_removed_is_drift() -> None:
    assert not covers({}, {"automountServiceAccountToken": False})


def test_a_field_that_is_wanted_no_longer_is_drift() -> None:
    older = mark({"metadata": {"name": "a"}, "spec": {"selector": {"pool": "models"}}})
    assert covers(older, older)
    assert not covers(older, mark({"metadata": {"name": "a"}, "spec": {}}))
