"""A model of each format goes the whole way: saved, pushed, inspected, deployed, and asked as its framework was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import Platform, until

CASES = Path(__file__).parents[1] / "data" / "serving"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.start()
    platform.run("klever", "allow-code", "default")
    yield platform
    platform.clean_up()


def deploy(platform: Platform, reference: str, name: str) -> None:
    """Serve a model and wait until it is Ready: some frameworks are imported for a minute on a busy machine."""
    platform.run("klever", "deploy", reference, "--name", name)
    until(lambda: platform.get("servings", name).get("status", {}).get("phase") == "Ready", 240)


@pytest.mark.parametrize("case", ["sklearn", "columns", "pickle", "xgboost", "lightgbm"])
def test_a_model_is_served_with_its_frameworks_answers(platform: Platform, case: str) -> None:
    recorded = json.loads((CASES / case / "case.json").read_text())
    platform.push(f"team/{case}:v1", f"serving/{case}")
    until(lambda: platform.get("versions", "-n", "team")["items"])
    deploy(platform, f"team/{case}:v1", case)
    request = json.dumps({"inputs": recorded["inputs"]})
    answer = json.loads(platform.run("klever", "predict", case, "--input", "-", stdin=request).stdout)
    outputs = {output["name"]: output for output in answer["outputs"]}
    for wanted in recorded["outputs"]:
        output = outputs[wanted["name"]]
        assert (output["datatype"], output["shape"]) == (wanted["datatype"], wanted["shape"])
        exact = wanted["datatype"] == "BYTES"
        assert output["data"] == (wanted["data"] if exact else pytest.approx(wanted["data"], rel=1e-6))
    example = json.loads(platform.run("klever", "predict", case, "--example").stdout)
    assert {output["name"] for output in example["outputs"]} == outputs.keys()
    platform.run("klever", "delete", "serving", case)


@pytest.mark.skipif(shutil.which("java") is None, reason="needs a Java runtime")
def test_pmml_answers_as_openscoring_does(platform: Platform) -> None:
    platform.push("team/cars:v1", "pmml")
    deploy(platform, "team/cars:v1", "cars")
    path = "/seldon/default/cars/openscoring/model/cars"
    request = {"id": "a", "arguments": {"displ": 1.8, "year": 1999, "cyl": 4, "class": "compact"}}
    status, answer = platform.http("POST", path, json.dumps(request), **{"Content-Type": "application/json"})
    assert (status, json.loads(answer)["results"]["drv"]) == (200, "f")
    assert platform.http("DELETE", path)[0] == 403
    example = json.loads(platform.run("klever", "predict", "cars", "--example").stdout)
    assert example["results"].keys() == json.loads(answer)["results"].keys()
