"""What the platform refuses, and how it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until

SERVING = """
apiVersion: kleveross.io/v1alpha1
kind: Serving
metadata: {name: NAME}
spec:
  predictors:
"""

TWO = "    - {name: a, model: 'm:v1', traffic: 70}\n    - {name: SECOND, model: 'm:v1', traffic: 70}\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), objects.fresh())
    platform.start()
    platform.push("team/adder:v1")
    yield platform
    platform.clean_up()


@pytest.mark.parametrize(
    ("predictors", "said"),
    [
        (TWO.replace("SECOND", "b"), "spec.predictors: traffic of"),
        ("    - {name: main, model: 'm:v1', traffic: 120}\n", "spec.predictors[0].traffic: 120 is not within 0..100"),
        (TWO.replace("SECOND", "a"), "spec.predictors[1]: duplicate"),
        ("    - {name: main, model: 'm:v1', flavour: x}\n", "spec.predictors[0].flavour: unknown field"),
        ("    - {name: main}\n", "a predictor needs a model, or a command"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused_with_its_field(shared: Platform, predictors: str, said: str) -> None:
    done = shared.run("klever", "apply", "-f", "-", stdin=SERVING.replace("NAME", "bad") + predictors, check=False)
    assert done.returncode == 6
    assert said in done.stderr


def test_a_name_that_is_no_label(shared: Platform) -> None:
    done = shared.run("klever", "deploy", "team/adder:v1", "--name", "No.Label", check=False)
    assert done.returncode == 6
    assert "metadata.name" in done.stderr


def test_a_write_needs_the_token(shared: Platform) -> None:
    done = shared.run("klever", "delete", "serving", "x", "--token", "guess", check=False)
    assert done.returncode == 5
    assert "the token is not valid" in done.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [("team/missing:v1", "is not in the registry"), ("team/flowers:v1", "no runtime here serves the format 'PMML'")],
)
def test_a_model_that_cannot_be_served_is_said(shared: Platform, model: str, said: str) -> None:
    shared.push("team/flowers:v1", "pmml")
    name = "bad-" + model.partition("/")[2].partition(":")[0]
    shared.run("klever", "deploy", model, "--name", name)
    until(lambda: said in json.dumps(shared.get("servings", name)["status"]))
    assert shared.infer(name)[0] == 503
    late = shared.run("klever", "wait", "serving", name, "--for=condition=Ready", "--timeout", "1s", check=False)
    assert late.returncode == 7
    assert said in late.stderr


def test_a_conversion_that_is_not_there_fails_at_once(shared: Platform) -> None:
    manifest = (
        "apiVersion: kleveross.io/v1alpha1\nkind: ModelJob\nmetadata: {name: convert}\nspec:\n"
        "  model: team/adder:v1\n  desiredTag: team/adder:v9\n  conversion: {mmdnn: {from: H5, to: SavedModel}}\n"
    )
    shared.run("klever", "apply", "-f", "-", stdin=manifest)
    until(lambda: shared.get("modeljobs", "convert").get("status", {}).get("phase") == "Failed")
    assert "no conversion from H5 to SavedModel" in shared.get("modeljobs", "convert")["status"]["message"]


def test_the_gateway_refuses_what_is_not_published(shared: Platform) -> None:
    assert shared.http("GET", "/api/v1alpha1/namespaces/default/servings", Origin="http://evil.example")[0] == 403
    assert shared.http("GET", "/metrics")[0] == 404
    assert shared.http("POST", "/seldon/default/bad-missing/v2/repository/index")[0] == 404


def test_rest(shared: Platform) -> None:
    path = "/api/v1alpha1/namespaces/default/servings"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shared.token}"}
    body = {"metadata": {"name": "rest"}, "spec": {"predictors": [{"name": "main", "model": "team/adder:v1"}]}}
    status, answer = shared.http("POST", path, json.dumps(body), **headers)
    assert status == 200, answer
    assert "rest" in [s["metadata"]["name"] for s in json.loads(shared.http("GET", path)[1])["items"]]
    body["metadata"]["name"] = "No"
    status, answer = shared.http("POST", path, json.dumps(body), **headers)
    assert status == 400
    assert "metadata.name" in answer
    assert shared.http("POST", path, "{}", **{**headers, "Content-Type": "text/plain"})[0] == 415


def test_a_taken_port_and_a_held_directory_are_said(shared: Platform) -> None:
    _, errors = shared.begin("--port", str(shared.port + 1)).communicate(timeout=30)
    assert "is held by another `klever up`" in errors
    other = Platform(shared.root / "other")  # with objects of its own: of a cluster's, another would be refused
    _, errors = other.begin("--port", str(shared.port)).communicate(timeout=60)
    assert f"127.0.0.1:{shared.port}; is the port taken?" in errors
