from __future__ import annotations

import pytest

from klever.errors import ExhaustedError, InvalidError
from klever.limits import DEFAULTS, Limits


def test_every_limit_has_a_unit_and_says_what_it_bounds() -> None:
    assert all(row.unit and row.bounds and row.value > 0 for row in DEFAULTS.rows())


def test_a_setting_replaces_one_value() -> None:
    limits = Limits.parse(["tensors=7"])
    assert limits.tensors == 7
    assert limits.tensor_rank == DEFAULTS.tensor_rank


@pytest.mark.parametrize(
    "setting",
    ["tensors", "tensors=", "tensors=-1", "tensors=0", "tensors=1e3", f"tensors={'9' * 5000}", "nothing=1", ""],
)
def test_an_invalid_setting_is_refused(setting: str) -> None:
    with pytest.raises(InvalidError):
        Limits.parse([setting])


def test_a_refusal_names_the_limit_both_numbers_and_the_flag() -> None:
    with pytest.raises(InvalidError) as refused:
        Limits(tensors=2).check("tensors", 3, "the signature", "spec.signature")
    assert refused.value.reason == "LIMIT_EXCEEDED"
    assert refused.value.metadata == {"limit": "tensors"}
    assert refused.value.violations[0].field == "spec.signature"
    for part in ("3 tensors", "is 2", "--limit tensors=3"):
        assert part in refused.value.message


def test_a_waiting_caller_learns_the_limit() -> None:
    Limits(open_streams=2).admit("open_streams", 1, "WatchServings")
    with pytest.raises(ExhaustedError) as refused:
        Limits(open_streams=2).admit("open_streams", 2, "WatchServings")
    assert (refused.value.reason, refused.value.metadata) == ("LIMIT_EXCEEDED", {"limit": "open_streams"})


def test_the_limit_itself_is_allowed() -> None:
    Limits(tensors=2).check("tensors", 2, "the signature")
