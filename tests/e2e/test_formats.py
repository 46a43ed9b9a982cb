"""A model of each format goes the whole way: saved, pushed, inspected, deployed, and asked as its framework was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.platform import Platform, until
from tests.e2e.tensors import WAYS, Arrays, Metadata, arrays_of, metadata_of

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


@pytest.mark.parametrize("case", ["sklearn", "columns", "pickle", "xgboost", "lightgbm", "mlflow", "mllib"])
def test_a_model_is_served_with_its_frameworks_answers(platform: Platform, case: str) -> None:
    recorded = json.loads((CASES / case / "case.json").read_text())
    wanted = arrays_of(recorded["outputs"])
    platform.push(f"team/{case}:v1", f"serving/{case}")
    deploy(platform, f"team/{case}:v1", case)
    assert described(platform, case) == metadata_of(signature(platform, f"team/{case}:v1"))
    for way, ask in WAYS.items():
        check(ask(platform, case, recorded["inputs"]), wanted, way)
    first = [{**tensor, **first_row(tensor)} for tensor in recorded["inputs"]]
    check(WAYS["JSON"](platform, case, first), {name: rows[:1] for name, rows in wanted.items()}, "one row")
    example = json.loads(platform.run("klever", "predict", case, "--example").stdout)
    assert {output["name"] for output in example["outputs"]} == wanted.keys()
    platform.run("klever", "delete", "serving", case)


def first_row(tensor: dict[str, Any]) -> dict[str, Any]:
    rows, *rest = tensor["shape"]
    return {"shape": [1, *rest], "data": tensor["data"][: len(tensor["data"]) // rows]}


def described(platform: Platform, name: str) -> Metadata:
    """What a server says of its model."""
    about = json.loads(platform.http("GET", f"/seldon/default/{name}/v2/models/{name}")[1])
    return {
        kind: {tensor["name"]: (tensor["datatype"], tensor["shape"]) for tensor in about[kind]}
        for kind in ("inputs", "outputs")
    }


def signature(platform: Platform, reference: str) -> dict[str, Any]:
    """What was extracted from a version."""
    version = json.loads(platform.run("klever", "describe", "version", reference, "-o", "json").stdout)
    found: dict[str, Any] = version["signature"]
    return found


def check(answer: Arrays, wanted: Arrays, way: str) -> None:
    assert answer.keys() == wanted.keys(), way
    for name, array in answer.items():
        assert (array.dtype, array.shape) == (wanted[name].dtype, wanted[name].shape), (way, name)
        if array.dtype == object:
            assert array.tolist() == wanted[name].tolist(), (way, name)
        else:
            np.testing.assert_allclose(array, wanted[name], rtol=1e-6, err_msg=f"{way} {name}")


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
