"""Promotion, its opposite, and scaling."""

from __future__ import annotations

from typing import Any

import pytest

from klever.errors import FailedPreconditionError, NotFoundError
from klever.traffic.rollouts import abort, primary, promote, scale

MAIN: dict[str, Any] = {"name": "main", "model": "m:v1", "traffic": 80, "replicas": 3, "env": [{"name": "A"}]}
CANARY: dict[str, Any] = {"name": "canary", "model": "m:v2", "traffic": 20, "replicas": 1, "runtime": "triton"}
BETA: dict[str, Any] = {"name": "beta", "model": "m:v3", "matches": [{"headers": [{"name": "x-user", "exact": "me"}]}]}


def test_a_promoted_canary_gives_main_its_model_and_settings_and_goes() -> None:
    expected = {"name": "main", "model": "m:v2", "traffic": 100, "replicas": 3, "runtime": "triton"}
    assert promote([MAIN, CANARY, BETA], "canary") == [expected, BETA]


def test_promoting_a_header_matched_predictor_takes_the_requests_of_main() -> None:
    (main, canary) = promote([MAIN, CANARY, BETA], "beta")
    assert main == {"name": "main", "model": "m:v3", "traffic": 80, "replicas": 3}
    assert canary == CANARY


def test_others_keep_their_shares_in_a_promotion() -> None:
    third = {"name": "third", "model": "m", "traffic": 30}
    promoted = promote([{**MAIN, "traffic": 50}, CANARY, third], "canary")
    assert [(p["name"], p["traffic"]) for p in promoted] == [("main", 70), ("third", 30)]


def test_an_aborted_canary_leaves_its_share_to_the_others() -> None:
    assert abort([MAIN, CANARY, BETA], "canary") == [{**MAIN, "traffic": 100}, BETA]
    assert abort([{**MAIN, "traffic": 0}, {**CANARY, "traffic": 100}], "canary") == [{**MAIN, "traffic": 100}]
    assert abort([MAIN, CANARY, BETA], "beta") == [MAIN, CANARY]


@pytest.mark.parametrize("change", [promote, abort])
def test_main_is_neither_promoted_nor_removed(change: Any) -> None:
    with pytest.raises(FailedPreconditionError):
        change([MAIN, CANARY], "main")
    with pytest.raises(NotFoundError, match="main, canary"):
        change([MAIN, CANARY], "nope")


def test_scaling_changes_the_number_of_processes_alone() -> None:
    spec = {"predictors": [MAIN, CANARY]}
    assert scale(spec, "canary", 0) == {"predictors": [MAIN, {**CANARY, "replicas": 0}]}
    assert scale(spec, "", 3) == {"predictors": [{**MAIN, "replicas": 3}, CANARY]}


def test_a_number_of_replicas_that_no_predictor_names_is_changed_in_the_spec() -> None:
    main = {"name": "main", "model": "m:v1", "traffic": 100}
    canary = {"name": "canary", "model": "m:v2", "traffic": 0}
    assert scale({"predictors": [main]}, "", 3) == {"replicas": 3}
    assert scale({"predictors": [main, {**canary, "replicas": 1}]}, "main", 3) == {"replicas": 3}
    assert scale({"predictors": [main, canary]}, "main", 3) == {"predictors": [{**main, "replicas": 3}, canary]}
    assert primary([CANARY]) == CANARY
    assert primary([CANARY, MAIN]) == MAIN
    with pytest.raises(NotFoundError):
        primary([CANARY, BETA])


def test_an_autoscaled_predictor_is_turned_off_and_on_alone() -> None:
    scaled = {"name": "main", "model": "m:v1", "autoscaling": {"min": 2, "max": 4, "cpu": 80}}
    assert scale({"predictors": [scaled]}, "", 0) == {"replicas": 0}
    assert scale({"predictors": [scaled], "replicas": 0}, "", 1) == {"replicas": 1}
    with pytest.raises(FailedPreconditionError, match="between 2 and 4"):
        scale({"predictors": [scaled]}, "", 3)
