"""OpenScoring's adapter: what it starts, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from klever.errors import InvalidError
from klever.runtimes import Model, Placement
from klever.runtimes.openscoring import OpenScoringJar, OpenScoringRuntime

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


def test_the_operators_jar_takes_no_environment_and_changes_no_model_for_callers() -> None:
    runtime = OpenScoringRuntime(OpenScoringJar(PurePosixPath("/opt/openscoring.jar"), PurePosixPath("/opt/jdk")))
    assert runtime.uses_ports
    assert runtime.environments(MODEL) == ()
    launch = runtime.launch(MODEL, replace(AT, sockets=None, http_port=7000))
    assert launch.argv[0] == "/opt/jdk/bin/java"
    options = launch.argv[launch.argv.index("-jar") :]
    assert options == (
        *("-jar", "/opt/openscoring.jar", "--host", "127.0.0.1", "--port", "7000"),
        *("--model-dir", "/data/store/models"),
    )
    assert launch.links == {"models/cars.pmml": "naive_bayes.pmml"}
    assert b'["0.0.0.0"]' in launch.files["application.conf"]
    deploys = runtime.launch(MODEL, replace(AT, env={"OPENSCORING_DEPLOY": "true"}))
    assert b'["127.0.0.1"]' in deploys.files["application.conf"]
