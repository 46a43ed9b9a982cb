"""What the platform refuses, and how it says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until

DATA = Path(__file__).parents[1] / "data"

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
        ("    - {name: main, model: 'm:v1', traffic: 120}\n", "spec.predictors[0].traffic: must be between 0 and 100"),
        (TWO.replace("SECOND", "a"), "spec.predictors[1]: duplicate"),
        ("    - {name: main, model: 'm:v1', flavour: x}\n", "spec.predictors[0].flavour: unknown field"),
        ("    - {name: main}\n", "a predictor needs a model, an image or a command"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused_with_its_field(shared: Platform, predictors: str, said: str) -> None:
    done = shared.run("klever", "apply", "-f", "-", stdin=SERVING.replace("NAME", "bad") + predictors, check=False)
    assert done.returncode == 6
    assert said in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"metadata: x", "metadata: must be an object, not 'x'"),
        (b"metadata: {name: 5}", "metadata.name: must be a string, not 5"),
        (b"metadata: {namespace: x}", "metadata.name: is required"),
        (b"metadata: {name: x, name: y}", "standard input: metadata.name: duplicate key"),
        (b"metadata: {name: \xff}", "standard input must be UTF-8 text"),
        (b"spec: " + b"[" * 100_000, "standard input must be nested at most 200 levels deep"),
    ],
)
def test_an_invalid_manifest_is_refused_in_one_line(shared: Platform, content: bytes, said: str) -> None:
    manifest = b"apiVersion: kleveross.io/v1alpha1\nkind: Serving\n" + content
    # In the locale C bytes that are no text come in as what cannot be sent out again.
    done = shared.run("klever", "apply", "-f", "-", stdin=manifest, check=False, LC_ALL="C")
    assert done.returncode == 6
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_is_no_label(shared: Platform) -> None:
    done = shared.run("klever", "deploy", "team/adder:v1", "--name", "No.Label", check=False)
    assert done.returncode == 6
    assert "metadata.name" in done.stderr


def test_a_write_needs_the_token(shared: Platform) -> None:
    done = shared.run("klever", "delete", "serving", "x", "--token", "guess", check=False)
    assert done.returncode == 5
    assert "invalid token" in done.stderr


@pytest.mark.parametrize(
    ("model", "said", "code"),
    [
        ("team/missing:v1", "is not in the registry", 7),
        ("team/own:v1", "no runtime serves the format 'Others'", 4),
    ],
)
def test_a_model_that_cannot_be_served_is_said(shared: Platform, model: str, said: str, code: int) -> None:
    directory = shared.root / "own"
    (directory / "model").mkdir(parents=True, exist_ok=True)
    (directory / "model" / "weights.bin").write_bytes(b"own")
    (directory / "ormbfile.yaml").write_text("format: Others\n")
    shared.run("ormb", "save", str(directory), "team/own:v1")
    shared.run("ormb", "push", "team/own:v1")
    name = "bad-" + model.partition("/")[2].partition(":")[0]
    spec = {"predictors": [{"name": "main", "model": model}]}
    manifest = {"apiVersion": "kleveross.io/v1alpha1", "kind": "Serving", "metadata": {"name": name}, "spec": spec}
    shared.run("klever", "apply", "-f", "-", stdin=json.dumps(manifest))
    until(lambda: said in json.dumps(shared.get("servings", name)["status"]))
    assert shared.infer(name)[0] == 503
    late = shared.run("klever", "wait", "serving", name, "--for=condition=Ready", "--timeout", "1s", check=False)
    assert late.returncode == code
    assert said in late.stderr


@pytest.mark.parametrize(
    ("content", "runtime", "said"),
    [
        (b"\xff\xff", (), "broken.onnx is not an ONNX model"),
        (None, ("--runtime", "triton"), "Triton does not serve PMML"),
    ],
)
def test_waiting_ends_at_once_for_what_will_never_be_ready(
    shared: Platform, content: bytes | None, runtime: tuple[str, ...], said: str
) -> None:
    if content is None:
        reference = "team/flowers:v1"
        shared.push(reference, "pmml")
    else:
        reference = "team/broken:v1"
        (shared.root / "broken/model").mkdir(parents=True)
        (shared.root / "broken/model/broken.onnx").write_bytes(content)
        shared.run("ormb", "save", str(shared.root / "broken"), reference)
        shared.run("ormb", "push", reference)
    # Were it waited for in vain, the command itself would be given up before.
    flags = ("--name", "never", "--wait", "--timeout", "10m", *runtime)
    done = shared.run("klever", "deploy", reference, *flags, check=False)
    assert done.returncode == 4
    assert said in done.stderr
    assert "run `klever describe serving never` for details" in done.stderr
    shared.run("klever", "delete", "serving", "never")
    shared.run("klever", "wait", "serving", "never", "--for=delete")


def test_a_conversion_that_is_not_there_fails_at_once(shared: Platform) -> None:
    manifest = (
        "apiVersion: kleveross.io/v1alpha1\nkind: ModelJob\nmetadata: {name: convert}\nspec:\n"
        "  model: team/adder:v1\n  desiredTag: team/adder:v9\n  conversion: {mmdnn: {from: PMML, to: ONNX}}\n"
    )
    shared.run("klever", "apply", "-f", "-", stdin=manifest)
    until(lambda: shared.get("modeljobs", "convert").get("status", {}).get("phase") == "Failed")
    assert "unsupported conversion from PMML to ONNX" in shared.get("modeljobs", "convert")["status"]["message"]


def test_a_name_that_is_not_the_platforms_is_said(shared: Platform) -> None:
    wrong = f"http://0.0.0.0:{shared.port}"
    for command in (("get", "servings"), ("get", "models"), ("logs", "serving", "x"), ("predict", "x", "--example")):
        done = shared.run("klever", *command, "--server", wrong, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("klever: unknown host name: start the platform with --name")
    pulled = shared.run("ormb", "pull", "team/adder:v1", check=False, KLEVER_SERVER=wrong)
    assert (pulled.returncode, "the registry's host name is wrong" in pulled.stderr) == (3, True)


def test_the_gateway_refuses_what_is_not_published(shared: Platform) -> None:
    assert shared.http("GET", "/api/v1alpha1/namespaces/default/servings", Origin="http://evil.example")[0] == 403
    assert shared.http("GET", "/metrics")[0] == 404
    assert shared.http("POST", "/seldon/default/bad-missing/v2/repository/index")[0] == 404


def test_rest(shared: Platform) -> None:
    path = "/api/v1alpha1/namespaces/default/servings"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shared.token}"}
    body: Any = {"metadata": {"name": "rest"}, "spec": {"predictors": [{"name": "main", "model": "team/adder:v1"}]}}
    status, answer = shared.http("POST", path, json.dumps(body), **headers)
    assert status == 200, answer
    assert "rest" in [s["metadata"]["name"] for s in json.loads(shared.http("GET", path)[1])["items"]]
    body["metadata"]["name"] = "No"
    status, answer = shared.http("POST", path, json.dumps(body), **headers)
    assert status == 400
    assert "metadata.name" in answer
    assert shared.http("POST", path, "{}", **{**headers, "Content-Type": "text/plain"})[0] == 415


def test_a_held_directory_is_said(shared: Platform) -> None:
    _, errors = shared.begin("--port", str(shared.port)).communicate(timeout=30)
    assert "is in use by another `klever up`" in errors
