"""What is code runs only where a project allows it, and nothing that a pusher writes decides what is code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import Platform, until

SERVER = "import http.server, os; http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()"
CLASS = "class H(http.server.BaseHTTPRequestHandler):\n  def do_GET(self): self.send_response(200); self.end_headers()"
COMMAND = f"import http.server, os\n{CLASS}\n{SERVER}"
ONNX = Path(__file__).parents[1] / "data" / "onnx"


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def push(platform: Platform, name: str, files: dict[str, bytes], config: str = "") -> str:
    """Push a directory of files as `trust/NAME:v1`; returns the reference."""
    directory = platform.root / name
    for file, content in files.items():
        path = directory / "model" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if config:
        (directory / "ormbfile.yaml").write_text(config)
    reference = f"trust/{name}:v1"
    platform.run("ormb", "save", str(directory), reference)
    platform.run("ormb", "push", reference)
    return reference


def serve(platform: Platform, name: str, **predictor: Any) -> None:
    manifest = {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "Serving",
        "metadata": {"name": name},
        "spec": {"predictors": [{"name": "main", **predictor}]},
    }
    platform.run("klever", "apply", "-f", "-", stdin=json.dumps(manifest))


def ready(platform: Platform, name: str) -> dict[str, Any]:
    """The Ready condition of a Serving; empty until it has one."""
    conditions = platform.get("servings", name).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


def denied(platform: Platform, name: str) -> str:
    """Wait until a Serving is refused because it is code; returns the message."""
    return str(until(lambda: (c := ready(platform, name)).get("reason") == "CodeNotAllowed" and c)["message"])


def inspected(platform: Platform, reference: str) -> dict[str, Any]:
    """Return a version once it has been inspected."""
    found: dict[str, Any] = until(lambda: (v := platform.get("versions", reference)).get("inspection") and v)
    return found


def test_a_pickle_is_refused_with_the_command_that_allows_it(shared_platform: Platform) -> None:
    platform, sentinel = shared_platform, shared_platform.root / "unpickled"
    reference = push(platform, "pickle", {"m.joblib": pickle.dumps(Evil(sentinel))})
    version = inspected(platform, reference)
    assert version["trust"] == "CODE"
    assert any("touch" in name for name in version["inspection"]["unsafeGlobals"])
    serve(platform, "pickle", model=reference)
    assert "run `klever allow-code default`" in denied(platform, "pickle")
    assert platform.get("servings", "pickle")["status"]["predictors"][0]["trust"] == "CODE"
    assert not sentinel.exists()


def test_a_command_runs_while_its_project_allows_code(platform: Platform) -> None:
    platform.start()
    serve(platform, "command", command=["/usr/bin/env", "python3", "-c", COMMAND], probePath="/")
    assert "run `klever allow-code default`" in denied(platform, "command")
    assert platform.http("GET", "/seldon/default/command/")[0] != 200
    platform.run("klever", "allow-code", "default")
    until(lambda: ready(platform, "command").get("status") == "True")
    assert platform.get("projects", "default")["allowCode"] is True
    assert platform.http("GET", "/seldon/default/command/")[0] == 200
    platform.run("klever", "allow-code", "default", "--deny")
    denied(platform, "command")
    until(lambda: platform.http("GET", "/seldon/default/command/")[0] != 200)
    until(lambda: not list((platform.data / "processes").glob("serving.*")))


def test_code_beside_an_onnx_model_is_named_and_the_model_is_served(shared_platform: Platform) -> None:
    platform = shared_platform
    files = {path.name: path.read_bytes() for path in (ONNX / "model").iterdir()}
    files |= {"__init__.py": b"open('/tmp/x', 'w')", "deep/model.abi3.so": b"\x7fELF", "notes": b"#!/bin/sh\n"}
    reference = push(platform, "beside", files)
    version = inspected(platform, reference)
    assert version["trust"] == "DATA"
    assert {file["path"] for file in version["inspection"]["codeFiles"]} == {
        "__init__.py",
        "deep/model.abi3.so",
        "notes",
    }
    platform.run("klever", "deploy", reference, "--name", "beside", "--wait")
    assert "data" in platform.run("klever", "get", "versions", reference, "-o", "wide").stdout.splitlines()[1]
    assert platform.get("servings", "beside")["status"]["predictors"][0]["trust"] == "DATA"


def test_a_verdict_in_the_artifact_has_no_effect(shared_platform: Platform) -> None:
    platform, sentinel = shared_platform, shared_platform.root / "forged-ran"
    verdict = "labels: {trust: data, kleveross.io/trust: data, inspection: '{\"codeFormats\": []}'}\n"
    reference = push(platform, "forged", {"m.pickle": pickle.dumps(Evil(sentinel))}, f"format: Pickle\n{verdict}")
    assert inspected(platform, reference)["trust"] == "CODE"
    serve(platform, "forged", model=reference)
    denied(platform, "forged")
    assert not sentinel.exists()


def test_content_that_was_inspected_as_one_format_is_not_trusted_as_another(shared_platform: Platform) -> None:
    """The same bytes are pushed as Others, which is data, and then as a format that would load the pickle in them."""
    platform = shared_platform
    files = {"m.xgboost": pickle.dumps(Evil(shared_platform.root / "relabelled-ran"))}
    first = inspected(platform, push(platform, "others", files, "format: Others\n"))
    again = inspected(platform, push(platform, "relabelled", files, "format: XGBoost\n"))
    assert again["contentDigest"] == first["contentDigest"]
    assert (first["trust"], again["trust"]) == ("DATA", "CODE")


@pytest.mark.parametrize(
    "path", ["/api/v1alpha1/modelinspections", "/klever.v1alpha1.ModelService/CreateModelInspection"]
)
def test_no_call_writes_an_inspection(shared_platform: Platform, path: str) -> None:
    token = {"Authorization": f"Bearer {shared_platform.token}", "Content-Type": "application/json"}
    assert shared_platform.http("POST", path, "{}", **token)[0] == 404
