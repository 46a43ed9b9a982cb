"""Artifacts that are not models, and models that cannot be served: the messages of the job and of the Serving."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from onnx import TensorProto, helper

from tests.e2e.conftest import Objects
from tests.e2e.platform import Platform, until


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, objects: Objects) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"), objects.fresh())
    platform.start()
    yield platform
    platform.clean_up()


def push(platform: Platform, name: str, file: str, content: bytes) -> str:
    """Save and push a directory with one file in it; returns the reference."""
    directory = platform.root / name
    (directory / "model").mkdir(parents=True)
    (directory / "model" / file).write_bytes(content)
    platform.run("ormb", "save", str(directory), f"odd/{name}:v1")
    platform.run("ormb", "push", f"odd/{name}:v1")
    return f"odd/{name}:v1"


def message(platform: Platform, name: str) -> str:
    """Why a Serving failed, once it has."""

    def failed() -> dict[str, Any]:
        status: dict[str, Any] = platform.get("servings", name).get("status", {})
        return status if status.get("phase") == "Failed" else {}

    ready: str = until(failed)["conditions"][0]["message"]
    return ready


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("onnx", "m.onnx", "is not an ONNX model"),
        ("pmml", "m.pmml", "m.pmml is not PMML"),
        ("tf", "saved_model.pb", "SavedModel"),
    ],
)
def test_a_file_that_is_no_model_fails_its_job_and_its_serving(
    platform: Platform, name: str, file: str, said: str
) -> None:
    reference = push(platform, name, file, b"\xff\xfenothing of the kind")
    (job,) = until(
        lambda: [
            job
            for job in platform.get("modeljobs", "-n", "odd")["items"]
            if job["spec"]["model"] == reference and job.get("status", {}).get("phase") == "Failed"
        ]
    )
    assert said in job["status"]["message"]
    if name == "onnx":
        platform.run("klever", "deploy", reference, "--name", "malformed")
        assert said in message(platform, "malformed")
        assert platform.infer("malformed")[0] == 503


@pytest.mark.parametrize(
    ("name", "kind", "shape", "said"),
    [
        ("rank", TensorProto.FLOAT, None, "'X' has an unknown rank"),
        ("complex", TensorProto.COMPLEX64, [1], "'X'"),
    ],
)
def test_a_signature_too_odd_to_serve_names_its_tensor(
    platform: Platform, name: str, kind: int, shape: list[int] | None, said: str
) -> None:
    tensors = [helper.make_tensor_value_info(tensor, kind, shape) for tensor in ("X", "Y")]
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "odd", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    reference = push(platform, name, "m.onnx", model.SerializeToString())
    platform.run("klever", "deploy", reference, "--name", f"odd-{name}")
    assert said in message(platform, f"odd-{name}")


def test_directories_without_a_model_are_refused(platform: Platform) -> None:
    config = b"{}"
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    token = {"Authorization": f"Bearer {platform.token}"}
    status, _ = platform.http("POST", f"/v2/odd/image/blobs/uploads/?digest={digest}", "{}", **token)
    assert status == 201
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)},
        "layers": [],
    }
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    assert platform.http("PUT", "/v2/odd/image/manifests/v1", json.dumps(manifest), **token, **kind)[0] == 201
    platform.run("klever", "deploy", "odd/image:v1", "--name", "image")
    assert "odd/image:v1 is a container image" in message(platform, "image")


def test_a_reference_that_is_none_is_refused_at_once(platform: Platform) -> None:
    done = platform.run("klever", "deploy", "Not/A:reference", "--name", "unread", check=False)
    assert done.returncode == 6
    assert "invalid repository name" in done.stderr
    manifest = "apiVersion: kleveross.io/v1alpha1\nkind: Serving\nmetadata: {name: unread}\n"
    predictors = "spec: {predictors: [{name: main, model: Not/A:reference}]}\n"
    done = platform.run("klever", "apply", "-f", "-", stdin=manifest + predictors, check=False)
    assert done.returncode == 6
    assert "spec.predictors[0].model: 'Not/A:reference' is not a reference: PROJECT/MODEL:TAG" in done.stderr


def test_a_model_that_asks_for_what_is_not_here(platform: Platform) -> None:
    predictor = "{name: main, command: [sleep, '60'], resources: {limits: {nvidia.com/gpu: 1}}}"
    manifest = "apiVersion: kleveross.io/v1alpha1\nkind: Serving\nmetadata: {name: gpu}\n"
    platform.run("klever", "apply", "-f", "-", stdin=f"{manifest}spec: {{predictors: [{predictor}]}}\n")
    assert "run `klever allow-code default`" in message(platform, "gpu")
    secret = "{name: main, model: 'odd/onnx:v1', env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]}"
    platform.run(
        "klever", "apply", "-f", "-", stdin=f"{manifest.replace('gpu', 'env')}spec: {{predictors: [{secret}]}}\n"
    )
    until(lambda: "env" in json.dumps(platform.get("servings", "env").get("status", {})))
