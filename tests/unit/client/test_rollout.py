"""`klever deploy` changes what it names and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from klever.api.codec import from_object
from klever.cli.commands.changes import describe_changes, print_changes
from klever.client.rollout import Wish, changed_predictors
from klever.errors import InvalidError, NotFoundError
from klever.v1alpha1.serving_pb2 import Serving

MAIN: dict[str, Any] = {
    "name": "main", "model": "m:v1", "replicas": 3, "traffic": 90, "env": [{"name": "A"}],
    "resources": {"limits": {"cpu": "2"}}
}  # fmt: skip
CANARY: dict[str, Any] = {"name": "canary", "model": "m:v2", "replicas": 2, "traffic": 10}
BETA: dict[str, Any] = {"name": "beta", "model": "m:v1", "matches": [{"headers": [{"name": "x-beta", "exact": "1"}]}]}
OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def changed(wish: Wish, *predictors: dict[str, Any], **pins: str) -> list[dict[str, Any]]:
    models = {p["name"]: p["model"] for p in predictors}
    status = [{"name": name, "model": models[name], "digest": digest} for name, digest in pins.items()]
    return changed_predictors({"spec": {"predictors": list(predictors)}, "status": {"predictors": status}}, wish)


def test_a_deploy_changes_the_model_of_main_and_nothing_else() -> None:
    assert changed(Wish("m:v3", NEW), MAIN, CANARY, BETA) == [{**MAIN, "model": "m:v3"}, CANARY, BETA]
    wish = Wish("m:v3", NEW, settings={"replicas": 1, "runtime": "triton"})
    assert changed(wish, MAIN) == [{**MAIN, "model": "m:v3", "replicas": 1, "runtime": "triton"}]


def test_a_deploy_changes_the_predictor_that_it_names() -> None:
    assert changed(Wish("m:v3", NEW, "beta"), MAIN, BETA) == [MAIN, {**BETA, "model": "m:v3"}]
    with pytest.raises(NotFoundError, match="main, beta"):
        changed(Wish("m:v3", NEW, "nope"), MAIN, BETA)


def test_a_tag_that_moved_is_deployed_by_its_digest() -> None:
    assert changed(Wish("m:v1", OLD), MAIN, main=OLD) == [MAIN]
    assert changed(Wish("m:v1", NEW), MAIN, main=OLD) == [{**MAIN, "model": f"m:v1@{NEW}"}]
    assert changed(Wish("m:v1", ""), MAIN, main=OLD) == [MAIN]


def test_a_new_canary_stands_beside_main_with_its_settings() -> None:
    canary = {**MAIN, "name": "canary", "model": "m:v2", "replicas": 1, "traffic": 20}
    wish = Wish("m:v2", NEW, canary=20)
    assert changed(wish, {**MAIN, "traffic": 100}, BETA) == [{**MAIN, "traffic": 80}, BETA, canary]


def test_a_canary_that_is_there_gets_the_model_and_keeps_the_rest() -> None:
    expected = [{**MAIN, "traffic": 80}, {**CANARY, "model": "m:v3", "traffic": 20}]
    assert changed(Wish("m:v3", NEW, canary=20), MAIN, CANARY) == expected


def test_a_canary_after_one_that_took_all_requests_stands_beside_that_one() -> None:
    before = ({**MAIN, "traffic": 0}, {**CANARY, "traffic": 100})
    main, canary = changed(Wish("m:v3", NEW, canary=20), *before, canary=OLD)
    assert (main["model"], main["traffic"]) == (f"m:v2@{OLD}", 80)
    assert (canary["model"], canary["traffic"]) == ("m:v3", 20)


def test_a_new_canary_has_one_process_beside_an_autoscaled_main() -> None:
    main = {**MAIN, "traffic": 100, "autoscaling": {"min": 3, "max": 9}}
    _, canary = changed(Wish("m:v2", NEW, canary=20), main)
    assert (canary["replicas"], "autoscaling" in canary) == (1, False)


def test_a_canary_that_receives_requests_by_headers_stays() -> None:
    with pytest.raises(InvalidError):
        changed(Wish("m:v2", NEW, canary=20), {**MAIN, "traffic": 100}, {**BETA, "name": "canary"})


def test_a_canary_needs_main_and_no_third_share() -> None:
    with pytest.raises(InvalidError, match="other"):
        changed(Wish("m:v2", NEW, canary=20), {**MAIN, "traffic": 50}, {**CANARY, "name": "other", "traffic": 50})
    with pytest.raises(InvalidError):
        changed(Wish("m:v2", NEW, canary=20), {**CANARY, "name": "other", "traffic": 100})
    with pytest.raises(InvalidError):
        Wish("m:v2", NEW, canary=20).predictor()


def test_a_change_is_told_by_predictor() -> None:
    before, after = {"main": MAIN, "canary": CANARY}, {"main": {**MAIN, "model": "m:v2", "traffic": 100}, "beta": BETA}
    assert list(describe_changes(before, after))[:2] == ["main: m:v1 -> m:v2, traffic 90% -> 100%", "canary: removed"]


def test_a_single_predictor_without_a_share_has_all_requests(capsys: pytest.CaptureFixture[str]) -> None:
    alone = from_object({"spec": {"predictors": [{"name": "main", "model": "m:v1"}]}}, Serving)
    shared = from_object({"spec": {"predictors": [{**MAIN, "replicas": 1}, CANARY]}}, Serving)
    print_changes(None, alone)
    print_changes(alone, shared)
    created, changed_main, _ = capsys.readouterr().out.splitlines()
    assert created == "main: m:v1"
    assert "traffic 100% -> 90%" in changed_main
