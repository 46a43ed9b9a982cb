"""OpenScoring's adapter: what it starts, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from klever.errors import InvalidError
from klever.runtimes import Model, Placement
from klever.runtimes.openscoring import OpenScoringRuntime

AT = Placement(
    "127.0.0.1",
    PurePosixPath("/data/store"),
    PurePosixPath("/data/work"),
    PurePosixPath("/cache/model"),
    sockets=PurePosixPath("/data/sockets/1"),
    environments={"pmml": PurePosixPath("/environments/pmml")},
)
MODEL = Model("cars", "PMML", ("naive_bayes.pmml",), None)


@pytest.mark.parametrize(("variables", "deploys"), [({}, False), ({"OPENSCORING_DEPLOY": "true"}, True)])
def test_callers_put_no_models_unless_the_predictor_says_so(variables: dict[str, str], deploys: bool) -> None:
    launch = OpenScoringRuntime().launch(MODEL, replace(AT, env=variables))
    assert launch.argv[0] == "/environments/pmml/bin/python3"
    assert launch.links == {"model/model.pmml": "naive_bayes.pmml"}
    assert json.loads(launch.files["launch.json"])["deploy"] is deploys


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (replace(MODEL, files=("a.pmml", "b.pmml")), "not a.pmml, b.pmml"),
        (replace(MODEL, format="ONNX"), "serves PMML, not ONNX"),
    ],
)
def test_unsupported_workloads_are_refused(bad: Model, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        OpenScoringRuntime().check(bad)
