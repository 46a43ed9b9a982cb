"""Shares, matches and rebalancing, for any predictors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from klever.errors import InvalidError
from klever.traffic.matches import HeaderMatch, MatchType, header_matches
from klever.traffic.rebalancing import inherit, rebalance
from klever.traffic.shares import (
    check_shares,
    check_sum,
    format_shares,
    parse_shares,
    read_shares,
    set_shares,
)

PROPERTY = settings(deadline=None, suppress_health_check=list(HealthCheck))
"""Of a machine of any speed."""

NAMES = st.sampled_from("abcdefghijklmnopqrst")
PERCENT = st.integers(0, 100)
WEIGHTS = st.dictionaries(NAMES, PERCENT, min_size=1, max_size=16)
MATCHES = [{"headers": [{"name": "x-user", "exact": "me"}]}]


@st.composite
def whole(draw: st.DrawFn) -> dict[str, int]:
    """Shares that sum to 100."""
    names = draw(st.lists(NAMES, min_size=1, max_size=16, unique=True))
    cuts = sorted(draw(st.lists(PERCENT, min_size=len(names) - 1, max_size=len(names) - 1)))
    return {n: b - a for n, a, b in zip(names, (0, *cuts), (*cuts, 100), strict=True)}


def predictors(shares: dict[str, int], *matched: str) -> list[dict[str, Any]]:
    with_shares: list[dict[str, Any]] = [{"name": name, "traffic": share} for name, share in shares.items()]
    return with_shares + [{"name": name, "matches": MATCHES} for name in matched]


@PROPERTY
@given(WEIGHTS, st.data())
def test_rebalanced_shares_sum_to_a_hundred_and_go_only_to_what_is_up(
    weights: dict[str, int], data: st.DataObject
) -> None:
    up = data.draw(st.sets(st.sampled_from(sorted(weights))))
    assume(any(weights[name] for name in up))
    shares = rebalance(weights, up)
    assert sum(shares.values()) == 100
    assert list(shares) == list(weights)
    assert all(share == 0 for name, share in shares.items() if name not in up or weights[name] == 0)


@PROPERTY
@given(WEIGHTS, st.data())
def test_a_rebalanced_share_is_within_one_percent_of_its_proportion(
    weights: dict[str, int], data: st.DataObject
) -> None:
    up = data.draw(st.sets(st.sampled_from(sorted(weights))))
    total = sum(weights[name] for name in up)
    assume(total)
    assert all(abs(rebalance(weights, up)[name] - weights[name] * 100 / total) < 1 for name in up)


@PROPERTY
@given(whole())
def test_shares_stay_when_all_are_up(shares: dict[str, int]) -> None:
    assert rebalance(shares, set(shares)) == shares


@PROPERTY
@given(WEIGHTS)
def test_weights_stay_when_nothing_is_up(weights: dict[str, int]) -> None:
    assert rebalance(weights, set()) == weights


@PROPERTY
@given(st.dictionaries(NAMES, st.integers(1, 100), min_size=1, max_size=16), PERCENT)
def test_those_that_leave_take_no_more_than_the_share_and_one_percent_each(weights: dict[str, int], share: int) -> None:
    taken = inherit(weights, share)
    assert sum(taken.values()) <= share + len(weights) if share else taken == {}
    assert all(taken.values())


@PROPERTY
@given(whole(), NAMES)
def test_shares_are_read_as_they_were_set(shares: dict[str, int], matched: str) -> None:
    assume(matched not in shares)
    before = predictors(dict.fromkeys(shares, 0), matched)
    check_shares(shares, before)
    after = set_shares(before, shares)
    assert read_shares(after) == shares
    assert [p["name"] for p in after] == [p["name"] for p in before]
    assert after[-1] == before[-1]


@PROPERTY
@given(WEIGHTS)
def test_shares_are_parsed_as_they_were_written(shares: dict[str, int]) -> None:
    assert parse_shares(format_shares(shares).split()) == shares


def test_a_single_predictor_takes_all() -> None:
    assert read_shares([{"name": "main"}]) == {"main": 100}
    assert read_shares([{"name": "main"}, {"name": "mine", "matches": MATCHES}]) == {"main": 100}
    assert read_shares([{"name": "main", "traffic": 0}]) == {"main": 0}
    assert read_shares([{"name": "mine", "matches": MATCHES}]) == {}


@pytest.mark.parametrize(
    ("shares", "fields"),
    [
        ({"main": 90}, ["traffic"]),
        ({"main": 100, "nobody": 0}, ["traffic[nobody]"]),
        ({"main": 100, "mine": 0}, ["traffic[mine]"]),
        ({"main": 101, "canary": -1}, ["traffic[main]", "traffic[canary]"]),
        ({}, ["traffic"]),
    ],
)
def test_every_bad_share_is_named(shares: dict[str, int], fields: list[str]) -> None:
    with pytest.raises(InvalidError) as refused:
        check_shares(shares, predictors({"main": 100, "canary": 0}, "mine"))
    assert [v.field for v in refused.value.violations] == fields


@PROPERTY
@given(WEIGHTS)
def test_any_other_sum_is_refused(shares: dict[str, int]) -> None:
    assume(sum(shares.values()) != 100)
    with pytest.raises(InvalidError):
        check_sum(shares)


@pytest.mark.parametrize(
    "pairs", [["main"], ["=5"], ["main=x"], ["main=-1"], ["main=1000"], ["main=²"], ["a=1", "a=2"]]
)
def test_pairs_that_are_not_shares_are_refused(pairs: list[str]) -> None:
    with pytest.raises(InvalidError):
        parse_shares(pairs)


def test_all_conditions_of_a_match_are_read() -> None:
    headers = [{"name": "x-user", "exact": "me"}, {"name": "x-a", "prefix": "b"}, {"name": "x-b", "regex": ".*"}]
    other = [{"name": "x-c", "present": True, "negate": True}]
    assert header_matches({"name": "main", "matches": [{"headers": headers}, {"headers": other}]}) == (
        (
            HeaderMatch("x-user", "me"),
            HeaderMatch("x-a", "b", MatchType.PREFIX),
            HeaderMatch("x-b", ".*", MatchType.REGEX),
        ),
        (HeaderMatch("x-c", type=MatchType.PRESENT, negate=True),),
    )
    assert header_matches({"name": "main"}) == ()
