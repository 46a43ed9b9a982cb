"""A TorchScript model is served, and converted to ONNX, by the shapes that its ormbfile.yaml declares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cases import goes_the_whole_way
from tests.e2e.platform import Platform
from tests.torch_environment import CACHE, needs_torch

pytestmark = needs_torch


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.env["XDG_CACHE_HOME"] = str(CACHE)
    platform.start()
    platform.push("team/images:v1", "networks/torchscript")
    for project in ("default", "team"):
        platform.run("klever", "allow-code", project)
    yield platform
    platform.clean_up()


def test_a_model_is_served_with_its_frameworks_answers(platform: Platform) -> None:
    goes_the_whole_way(platform, "networks/torchscript")


def test_a_model_is_converted_and_compared(platform: Platform) -> None:
    done = platform.run("klever", "convert", "team/images:v1", "-n", "team", "--to", "ONNX")
    assert "converted team/images:v1 from TorchScript to ONNX" in done.stdout
    signature = platform.get("versions", "team/images:v1-onnx")["signature"]
    assert [tensor["name"] for tensor in signature["inputs"]] == ["image"]
    assert [tensor["shape"] for tensor in signature["outputs"]] == [[-1, 5], [-1]]


def test_a_model_without_declared_shapes_says_what_to_declare(platform: Platform) -> None:
    model = platform.root / "undeclared"
    (model / "model").mkdir(parents=True)
    source = platform.root / "model-networks" / "torchscript" / "model" / "images.pt"
    (model / "model" / "images.pt").write_bytes(source.read_bytes())
    platform.run("ormb", "save", str(model), "team/undeclared:v1")
    platform.run("ormb", "push", "team/undeclared:v1")
    done = platform.run("klever", "deploy", "team/undeclared:v1", "--name", "undeclared", "--wait", check=False)
    assert done.returncode
    assert "input 'image' has an unknown type: declare its dType and size in ormbfile.yaml" in done.stderr
