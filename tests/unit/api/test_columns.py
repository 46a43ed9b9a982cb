"""Columns of tables, by the JSON paths of a CRD."""

from __future__ import annotations

import pytest

from klever.api.columns import Column
from klever.api.kinds import KINDS

OBJECT = {"status": {"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other"}]}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".status.phase", "Ready"),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        ('.status.conditions[?(@.type=="Missing")].status', None),
        (".status.url", None),
        (".status.phase.deeper", None),
        (".spec.replicas", None),
    ],
)
def test_a_column_shows_what_stands_at_its_path(path: str, value: str | None) -> None:
    assert Column("x", path, "string").value(OBJECT) == value


@pytest.mark.parametrize("path", [".items[0]", "status", ".a[*].b", ".a[?(@.b>1)]"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unsupported JSON path"):
        Column("x", path, "string").value(OBJECT)


def test_every_kind_has_columns_that_can_be_shown() -> None:
    for column in (column for kind in KINDS for column in kind.columns):
        assert column.value({}) is None
