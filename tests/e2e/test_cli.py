"""What the commands print, on a real platform."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, replicas, until

DATA = Path(__file__).parents[1] / "data"
GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"


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
    assert lines[-1] == "inputs: 2, outputs: 1, operators: 1"
    assert out(platform, "logs", "-f", "modeljob", job, "-n", "team").splitlines() == lines
    assert all(line.startswith("adder-") for line in out(platform, "logs", "serving", "adder").splitlines())


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


@pytest.mark.parametrize(
    ("kind", "name", "parts"),
    [
        ("serving", "adder", {"spec", "status", "instances", "events"}),
        ("version", "team/adder:v1", {"digest", "signature"}),
        ("model", "team/adder", {"latest", "versionCount"}),
        ("project", "team", {"name"}),
    ],
)
def test_a_description_has_three_forms(platform: Platform, kind: str, name: str, parts: set[str]) -> None:
    found = json.loads(out(platform, "describe", kind, name, "-o", "json"))
    assert found.keys() >= parts
    assert yaml.safe_load(out(platform, "describe", kind, name, "-o", "yaml")).keys() == found.keys()
    if kind == "serving":
        assert [i["phase"] for i in found["instances"]] == ["READY"]
        assert "Ready" in [e["reason"] for e in found["events"]]


@pytest.mark.parametrize(
    ("kind", "name", "code", "said"),
    [
        ("model", "empty", 6, "invalid model 'empty': expected PROJECT/MODEL"),
        ("model", "team/none", 3, "model team/none not found"),
        ("version", "team/adder", 6, "invalid version 'team/adder': expected PROJECT/MODEL:TAG"),
        ("project", "none", 3, "project none not found"),
    ],
)
def test_only_one_object_can_be_described(platform: Platform, kind: str, name: str, code: int, said: str) -> None:
    done = platform.run("klever", "describe", kind, name, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_project_is_made_once(platform: Platform) -> None:
    platform.run("klever", "create", "project", "fresh")
    again = platform.run("klever", "create", "project", "fresh", check=False)
    assert (again.returncode, again.stderr) == (4, "klever: project fresh already exists\n")


def test_versions_are_printed_with_plain_numbers(platform: Platform) -> None:
    version = platform.get("versions", "team/adder:v1")
    assert version["size"] > 0
    assert version["signature"]["inputs"][0] == {"name": "X", "shape": [1, 5], "datatype": "FP32", "dtype": "float32"}
    assert platform.get("models", "team/adder")["latest"] == version
    assert [v["tag"] for v in platform.get("versions", "team/adder")["items"]] == ["v1"]


def test_events(platform: Platform, job: str) -> None:
    assert "every predictor answers inference requests" in out(platform, "events", "serving", "adder")
    of_all = json.loads(out(platform, "events", "-A", "-o", "json"))["items"]
    assert {(e["involvedObject"]["namespace"], e["involvedObject"]["name"]) for e in of_all} >= {
        ("default", "adder"), ("team", job),
    }  # fmt: skip
    assert yaml.safe_load(out(platform, "events", "serving", "-A", "-o", "yaml"))["items"]
    table = out(platform, "events", "-A").splitlines()
    assert table[0].split() == ["NAMESPACE", "AGE", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"]
    assert any(line.startswith("team ") and job in line for line in table)


def test_environments_have_three_forms(platform: Platform) -> None:
    table = out(platform, "env", "list").splitlines()
    found = json.loads(out(platform, "env", "list", "-o", "json"))["items"]
    assert {"name": "triton", "state": "ready"}.items() <= found[-1].items() | found[0].items()
    assert all(e["sizeBytes"] >= 0 for e in found)
    assert len(table) == len(found) + 1
    assert yaml.safe_load(out(platform, "env", "list", "-o", "yaml"))["items"] == found


def test_waiting_for_what_is_not_there(platform: Platform) -> None:
    gone = out(platform, "wait", "serving", "never", "--for=delete")
    assert gone == "serving never: delete met\n"
    late = platform.run("klever", "wait", "serving", "never", "--for=condition=Ready", "--timeout=10m", check=False)
    assert (late.returncode, "klever get servings -n default" in late.stderr) == (3, True)


def declare(platform: Platform, name: str, model: str) -> None:
    """Apply a Serving of a model that need not exist."""
    spec = {"predictors": [{"name": "main", "model": model}]}
    manifest = {"apiVersion": "kleveross.io/v1alpha1", "kind": "Serving", "metadata": {"name": name}, "spec": spec}
    platform.run("klever", "apply", "-f", "-", stdin=json.dumps(manifest))


def test_a_tag_that_does_not_exist_is_refused_at_once_with_those_that_do(platform: Platform) -> None:
    for reference, told in (("team/adder:v9", "v1"), ("team/nope:v1", "model team/nope not found")):
        refused = platform.run("klever", "deploy", reference, "--name", "mistyped", check=False)
        assert (refused.returncode, told in refused.stderr) == (3, True)
    assert platform.run("klever", "get", "servings", "mistyped", check=False).returncode == 3


def test_wait_ends_when_the_object_is_deleted(platform: Platform) -> None:
    declare(platform, "doomed", "team/later:v9")
    with platform.watched("wait", "serving", "doomed", "--for=condition=Ready", "--timeout=10m") as waiting:
        waiting.read("is not in the registry")
        platform.run("klever", "delete", "serving", "doomed")
        assert waiting.process.wait(timeout=30) == 3


def test_a_deletion_ends_when_nothing_runs(platform: Platform) -> None:
    others = set(replicas(platform))
    platform.run("klever", "deploy", "team/adder:v1", "--name", "leaving", "--wait")
    assert set(replicas(platform)) > others
    platform.run("klever", "delete", "serving", "leaving")
    assert set(replicas(platform)) == others
    assert platform.run("klever", "get", "servings", "leaving", check=False).returncode == 3


def test_a_change_of_an_object_that_is_being_deleted_fails(platform: Platform) -> None:
    manifest = {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "Serving",
        "metadata": {"name": "held", "finalizers": ["test.example/held"]},
        "spec": {"predictors": [{"name": "main", "model": "team/adder:v1", "replicas": 0}]},
    }
    platform.run("klever", "apply", "-f", "-", stdin=json.dumps(manifest))
    late = platform.run("klever", "delete", "serving", "held", "--timeout=1s", check=False)
    assert (late.returncode, "serving held: delete not met within" in late.stderr) == (7, True)
    platform.run("klever", "delete", "serving", "held", "--no-wait")
    for change in (("traffic", "held", "main=100"), ("deploy", "team/adder:v1", "--name", "held")):
        refused = platform.run("klever", *change, check=False)
        assert (refused.returncode, refused.stdout) == (4, "")
        assert "serving held is being deleted" in refused.stderr
    del manifest["metadata"]["finalizers"]  # type: ignore[attr-defined]
    platform.run("klever", "apply", "-f", "-", stdin=json.dumps(manifest), check=False)
    out(platform, "wait", "serving", "held", "--for=delete")


def test_printed_objects_can_be_applied(platform: Platform) -> None:
    printed = out(platform, "get", "servings", "-o", "yaml")
    assert "serving adder unchanged" in platform.run("klever", "apply", "-f", "-", stdin=printed).stdout.splitlines()


def test_a_wait_is_shown_at_a_terminal_alone(platform: Platform) -> None:
    declare(platform, "later", "team/later:v1")
    waiting = ("wait", "serving", "later", "--for=condition=Ready")
    piped = platform.run("klever", *waiting, "--timeout=1s", check=False)
    assert (piped.stdout, len(piped.stderr.splitlines())) == ("", 1)
    with platform.watched(*waiting, "--timeout=60s") as terminal:
        terminal.read("serving later: Pending 0/1: main: team/later:v1 is not in the registry")
        platform.push("team/later:v1")
        terminal.read("serving later: condition=Ready met")
        assert terminal.process.wait(timeout=30) == 0
    platform.run("klever", "delete", "serving", "later")


def test_a_watch_in_yaml_is_a_stream_of_documents(platform: Platform) -> None:
    with platform.watched("get", "servings", "adder", "-w", "-o", "yaml") as terminal:
        terminal.read("---\r\napiVersion: kleveross.io/v1alpha1\r\nkind: Serving\r\n")


def test_a_finished_job_cannot_be_cancelled(platform: Platform, job: str) -> None:
    cancelled = platform.run("klever", "cancel", "modeljob", job, "-n", "team", check=False)
    assert (cancelled.returncode, "has already ended" in cancelled.stderr) == (4, True)
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
    until(lambda: "next attempt in" in platform.run("klever", "logs", "modeljob", "endless", check=False).stdout)
    platform.run("klever", "cancel", "modeljob", "endless")
    until(lambda: platform.get("modeljobs", "endless")["status"]["phase"] == "Failed")
    assert "cancel" in json.dumps(platform.get("modeljobs", "endless")["status"]).lower()
    assert "next attempt in" in platform.run("klever", "logs", "modeljob", "endless").stdout


def test_predict_by_example_and_by_file(platform: Platform, tmp_path: Path) -> None:
    assert json.loads(out(platform, "predict", "adder", "--example"))["outputs"][0]["data"] == [0.0] * 5
    (tmp_path / "request.json").write_text('{"inputs": []}')
    refused = platform.run("klever", "predict", "adder", "--input", str(tmp_path / "request.json"), check=False)
    assert refused.returncode != 0
    assert len(refused.stderr.splitlines()) == 1
    unsent = platform.run("klever", "predict", "adder", "--example", "-H", "x: €", check=False)
    assert (unsent.returncode, "cannot send the request" in unsent.stderr) == (6, True)


def test_predict_reaches_the_running_version_during_a_failed_rollout(platform: Platform) -> None:
    platform.run("klever", "deploy", "team/adder:v1", "--name", "lasting", "--wait")
    refused = platform.run("klever", "chat", "lasting", "hello", check=False)
    assert (refused.returncode, "klever predict lasting --example" in refused.stderr) == (3, True)
    platform.run("klever", "deploy", "team/adder:v1", "--name", "lasting", "--runtime", "nope")
    until(lambda: platform.get("serving", "lasting")["status"]["phase"] == "Degraded")
    assert json.loads(out(platform, "predict", "lasting", "--example"))["outputs"][0]["data"] == [0.0] * 5
    platform.run("klever", "delete", "serving", "lasting")


def test_a_tag_that_has_moved_is_deployed_by_its_digest(platform: Platform) -> None:
    platform.push("team/moving:v1")
    deploy = ("klever", "deploy", "team/moving:v1", "--name", "moving")
    assert "serving moving created" in platform.run(*deploy, "--wait").stdout
    assert platform.run(*deploy).stdout == "serving moving unchanged\n"
    digest = platform.get("servings", "moving")["status"]["predictors"][0]["digest"]
    refused = platform.run("klever", "delete", "version", "team/moving:v1", check=False)
    assert (refused.returncode, "in use by serving default/moving" in refused.stderr) == (4, True)
    assert f"v1: named {digest} before" in platform.push("team/moving:v1", "pmml")
    assert "serving moving configured" in platform.run(*deploy).stdout
    model = platform.get("servings", "moving")["spec"]["predictors"][0]["model"]
    assert model.startswith("team/moving:v1@sha256:")
    platform.run("klever", "delete", "version", "team/moving:v1", "--force")
    platform.run("klever", "delete", "serving", "moving")


def test_predict_by_example_where_an_input_is_a_scalar(platform: Platform) -> None:
    scalar = helper.make_tensor_value_info("s", TensorProto.FLOAT, [])
    vector = helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", 2])
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("Add", ["s", "v"], ["sum"])], "g", [scalar, vector], [total])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    directory = platform.root / "scalar"
    (directory / "model").mkdir(parents=True)
    onnx.save(model, str(directory / "model/scalar.onnx"))
    platform.run("ormb", "save", str(directory), "team/scalar:v1")
    platform.run("ormb", "push", "team/scalar:v1")
    platform.run("klever", "deploy", "team/scalar:v1", "--name", "scalar", "--wait")
    assert json.loads(out(platform, "predict", "scalar", "--example"))["outputs"][0]["data"] == [0.0, 0.0]
    assert platform.get("versions", "team/scalar:v1")["signature"]["inputs"][0]["shape"] == []
    platform.run("klever", "delete", "serving", "scalar")


def test_a_backup_holds_the_objects(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "first")
    other = Platform(tmp_path / "second")
    manifest = "apiVersion: kleveross.io/v1alpha1\nkind: Serving\nmetadata: {name: kept}\n"
    spec = "spec: {predictors: [{name: main, model: 'team/adder:v1', replicas: 0}]}\n"
    try:
        platform.start()
        platform.run("klever", "apply", "-f", "-", stdin=manifest + spec)
        platform.run("klever", "backup", str(tmp_path / "backup.db"))
        assert stat.S_IMODE((tmp_path / "backup.db").stat().st_mode) == 0o600
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


def test_the_custom_command_of_the_guide_serves_as_written(platform: Platform, tmp_path: Path) -> None:
    guide = GUIDE.read_text().partition("## Custom commands")[2]
    files = [block.partition("\n")[2] for block in guide.split("```")[1::2]]
    names = ("scores/model/server.py", "scores/ormbfile.yaml", "scores.yaml")
    for name, text in zip(names, files, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    platform.run("ormb", "save", str(tmp_path / "scores"), "team/scores:v1")
    platform.run("ormb", "push", "team/scores:v1")
    platform.run("klever", "allow-code", "default")
    try:
        platform.run("klever", "apply", "-f", str(tmp_path / "scores.yaml"))
        platform.run("klever", "wait", "serving", "scores", "--for=condition=Ready")
        assert platform.http("POST", "/seldon/default/scores/sum", "[1, 2]") == (200, '{"sum": 3}')
    finally:
        platform.run("klever", "delete", "serving/scores", check=False)
        platform.run("klever", "allow-code", "default", "--deny")


def test_values_by_name_are_predicted(platform: Platform, tmp_path: Path) -> None:
    values = json.dumps({"X": [1] * 5, "Y": [2] * 5})
    (tmp_path / "values.json").write_text(values)
    for given in (values, f"@{tmp_path / 'values.json'}"):
        outputs = json.loads(out(platform, "predict", "adder", "--data", given))["outputs"]
        assert outputs[0]["data"] == [3] * 5
    wrong = platform.run("klever", "predict", "adder", "--data", '{"Z": 1}', check=False)
    assert (wrong.returncode, "unknown input 'Z'" in wrong.stderr) == (6, True)


def test_doctor_knows_the_platform_on_its_port(platform: Platform) -> None:
    checks = platform.run("klever", "doctor", "--port", str(platform.port), check=False).stdout.splitlines()
    assert any(f"--server {platform.url}" in line for line in checks if line.startswith(f"port {platform.port}"))


def test_top_shows_the_replicas_of_this_machine(platform: Platform) -> None:
    header, row = (
        line.split()
        for line in out(platform, "top", "replicas", "--data", str(platform.data), "--interval", "0s").splitlines()[:2]
    )
    shown = dict(zip(header, row, strict=False))  # a size has a unit
    assert (shown["NAMESPACE"], shown["SERVING"]) == ("default", "adder")
    assert float(shown["MEMORY"]) > 1
