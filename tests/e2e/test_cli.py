"""What the commands print, on a real platform."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), objects.fresh())
    platform.start()
    platform.push("team/adder:v1")
    until(lambda: platform.get("versions", "-n", "team")["items"][0].get("signature"))
    platform.run("klever", "deploy", "team/adder:v1", "--name", "adder", "--wait")
    yield platform
    platform.clean_up()


@pytest.fixture(scope="module")
def job(platform: Platform) -> str:
    """The job that the push began."""
    return str(platform.get("modeljobs", "-n", "team")["items"][0]["metadata"]["name"])


def out(platform: Platform, *command: str) -> str:
    return platform.run("klever", *command).stdout


def test_logs(platform: Platform, job: str) -> None:
    lines = out(platform, "logs", "modeljob", job, "-n", "team").splitlines()
    assert lines[0] == "pulling team/adder:v1"
    assert lines[-1] == "2 inputs, 1 outputs, 1 operators"
    assert out(platform, "logs", "-f", "modeljob", job, "-n", "team").splitlines() == lines
    assert all(line.startswith("adder-main-") for line in out(platform, "logs", "serving", "adder").splitlines())


def test_describe(platform: Platform, job: str) -> None:
    assert "Events:" in out(platform, "describe", "modeljob", job, "-n", "team")
    serving = out(platform, "describe", "serving", "adder")
    assert "Instances:" in serving
    assert "every predictor answers inference requests" in serving
    version = out(platform, "describe", "version", "team/adder:v1")
    assert "dtype: float32" in version
    missing = platform.run("klever", "describe", "serving", "nope", check=False)
    assert (missing.returncode, "not found" in missing.stderr) == (3, True)


@pytest.mark.parametrize("what", ["models", "versions", "projects", "servings", "modeljobs"])
def test_every_list_has_three_forms(platform: Platform, what: str) -> None:
    table = out(platform, "get", what, "-A").splitlines()
    assert table[0].split()[-1] == "AGE"
    items = json.loads(out(platform, "get", what, "-A", "-o", "json"))["items"]
    assert len(items) == len(table) - 1
    assert yaml.safe_load(out(platform, "get", what, "-A", "-o", "yaml"))["items"] == items


def test_events(platform: Platform) -> None:
    assert "every predictor answers inference requests" in out(platform, "events", "serving", "adder")


def test_what_has_ended_cannot_be_cancelled_or_undone(platform: Platform, job: str) -> None:
    cancelled = platform.run("klever", "cancel", "modeljob", job, "-n", "team", check=False)
    assert (cancelled.returncode, "has ended already" in cancelled.stderr) == (4, True)
    undone = platform.run("klever", "traffic", "adder", "--undo", check=False)
    assert (undone.returncode, "nothing to undo" in undone.stderr) == (4, True)
    late = platform.run("klever", "wait", "serving", "adder", "--for=condition=Foo", "--timeout", "1s", check=False)
    assert (late.returncode, "not met within 1 s" in late.stderr) == (7, True)


def test_a_job_is_cancelled(platform: Platform) -> None:
    manifest = {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "ModelJob",
        "metadata": {"name": "endless"},
        "spec": {"model": "127.0.0.1:1/team/away:v1", "extraction": {"format": "ONNX"}},
    }
    platform.run("klever", "apply", "-f", "-", stdin=json.dumps(manifest))
    until(lambda: "again in" in platform.run("klever", "logs", "modeljob", "endless", check=False).stdout)
    platform.run("klever", "cancel", "modeljob", "endless")
    until(lambda: platform.get("modeljobs", "endless")["status"]["phase"] == "Failed")
    assert "cancel" in json.dumps(platform.get("modeljobs", "endless")["status"]).lower()


def test_predict_by_example_and_by_file(platform: Platform, tmp_path: Path) -> None:
    assert json.loads(out(platform, "predict", "adder", "--example"))["outputs"][0]["data"] == [0.0] * 5
    (tmp_path / "request.json").write_text('{"inputs": []}')
    refused = platform.run("klever", "predict", "adder", "--input", str(tmp_path / "request.json"), check=False)
    assert refused.returncode != 0
    assert len(refused.stderr.splitlines()) == 1


def test_a_backup_holds_the_objects(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "first")
    other = Platform(tmp_path / "second")
    manifest = "apiVersion: kleveross.io/v1alpha1\nkind: Serving\nmetadata: {name: kept}\n"
    spec = "spec: {predictors: [{name: main, model: 'team/adder:v1', replicas: 0}]}\n"
    try:
        platform.start()
        platform.run("klever", "apply", "-f", "-", stdin=manifest + spec)
        platform.run("klever", "backup", str(tmp_path / "backup.db"))
        platform.run("klever", "delete", "serving", "kept")
        other.data.mkdir(parents=True)
        shutil.copy(tmp_path / "backup.db", other.data / "klever.db")
        other.start()
        assert other.get("servings", "kept")["metadata"]["name"] == "kept"
    finally:
        platform.clean_up()
        other.clean_up()


@pytest.mark.parametrize(("model", "format_"), [("onnx", "ONNX"), ("pmml", "PMML"), ("savedmodel", "SavedModel")])
def test_a_signature_is_read_without_a_server(tmp_path: Path, model: str, format_: str) -> None:
    offline = Platform(tmp_path)
    found = json.loads(offline.run("klever", "extract", str(DATA / model), "-o", "json").stdout)
    assert found["format"] == format_
    assert set(found["signature"]) >= {"inputs", "outputs"}
    assert {"name", "dType"} <= set(found["signature"]["inputs"][0])
