"""The author of an object on Kubernetes, by its managedFields."""

from __future__ import annotations

import pytest

from klever.api.kinds import Object
from klever.kube import MANAGER
from klever.store.kubernetes.ownership import last_writer


def written(*entries: tuple[str, str, str]) -> Object:
    """Return an object with entries of (manager, second, subresource)."""
    fields = [
        {"manager": manager, "operation": "Update", "time": f"2026-01-01T00:00:0{second}Z", "subresource": part,
         "fieldsV1": {"f:spec": {}}}
        for manager, second, part in entries
    ]  # fmt: skip
    return {"metadata": {"managedFields": fields}}


@pytest.mark.parametrize(
    ("entries", "author"),
    [
        ([("jane", "1", ""), (MANAGER, "0", "")], "jane"),
        ([("jane", "0", ""), (MANAGER, "1", "")], ""),
        ([("jane", "0", ""), ("autoscaler", "1", "scale")], "jane"),
        ([], ""),
    ],
)
def test_the_author_is_the_last_manager_of_the_spec(entries: list[tuple[str, str, str]], author: str) -> None:
    assert last_writer(written(*entries)) == author
