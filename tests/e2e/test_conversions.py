"""A version becomes one of another format by a job, with the report of both, and is served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import Platform

DATA = Path(__file__).parents[1] / "data"
NETDEF = DATA / "netdef"
INPUTS = [{"name": name, "size": [1, 5], "dType": "float32"} for name in ("X", "Y")]

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform"))
    platform.start()
    platform.run("ormb", "save", str(NETDEF), "team/adder:v1")
    platform.run("ormb", "push", "team/adder:v1")
    yield platform
    platform.clean_up()


def test_a_version_is_converted_and_serves_its_answer(platform: Platform) -> None:
    done = platform.run(
        *("klever", "convert", "team/adder:v1", "-n", "team", "--to", "ONNX", "--env", f"INPUTS={json.dumps(INPUTS)}")
    )
    assert "converted team/adder:v1 from NetDef to ONNX" in done.stdout
    version = platform.get("versions", "team/adder:v1-onnx")
    assert version["format"] == "ONNX"
    assert [tensor["name"] for tensor in version["signature"]["inputs"]] == ["X", "Y"]
    source = platform.get("versions", "team/adder:v1")
    conversion = version["conversion"]
    assert conversion["source"] == f"team/adder@{source['digest']}"
    assert (conversion["sourceFormat"], conversion["targetFormat"]) == ("NetDef", "ONNX")
    assert "NetDef" in conversion["notCompared"]
    assert source["convertedTo"] == [f"team/adder:v1-onnx@{version['digest']}"]
    assert "team/adder:v1-onnx" in platform.run("klever", "describe", "version", "team/adder:v1").stdout
    platform.run("klever", "deploy", "team/adder:v1-onnx", "-n", "team", "--name", "adder", "--wait")
    tensors = [{"name": name, "datatype": "FP32", "shape": [1, 5], "data": [1, 2, 3, 4, 5]} for name in ("X", "Y")]
    request = json.dumps({"inputs": tensors})
    answer = json.loads(platform.run("klever", "predict", "adder", "-n", "team", "--input", "-", stdin=request).stdout)
    assert answer["outputs"][0]["data"] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("team/adder:v1", "--to", "PMML"), "unsupported conversion from NetDef to PMML"),
        (("team/adder:v9", "--to", "ONNX"), "team/adder:v9"),
        (("team/adder:v1", "--to", "NetDef"), "already has the format NetDef"),
        (("team/adder:v1", "--to", "ONNX", "--env", "TOLERANCE=much"), "TOLERANCE"),
    ],
)
def test_a_conversion_that_cannot_be_says_why(platform: Platform, arguments: tuple[str, ...], words: str) -> None:
    done = platform.run("klever", "convert", *arguments, "-n", "team", check=False)
    assert done.returncode
    assert words in done.stderr


def test_a_directory_is_converted_without_a_server(platform: Platform, tmp_path: Path) -> None:
    output = tmp_path / "onnx"
    platform.run(
        *("klever", "convert", str(NETDEF), "--to", "ONNX", "-o", str(output), "--env", f"INPUTS={json.dumps(INPUTS)}")
    )
    assert (output / "model" / "model.onnx").is_file()
    assert "NetDef" in json.loads((output / "report.json").read_text())["not_compared"]
    platform.run("ormb", "save", str(output), "team/adder:local")


def test_a_deploy_converts_a_format_that_no_runtime_serves(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for path in (DATA / "caffe" / "model").iterdir():
        shutil.copy(path, tmp_path / "model")
    platform.run("ormb", "save", str(tmp_path), "team/summer:v1")
    platform.run("ormb", "push", "team/summer:v1")
    deployed = platform.run("klever", "deploy", "team/summer:v1", "-n", "team", "--name", "summer", "--wait")
    assert "warning" not in deployed.stderr
    version = platform.get("versions", "team/summer:v1-onnx")
    source = platform.get("versions", "team/summer:v1")
    assert version["labels"]["kleveross.io/converted-from"] == source["digest"]
    tensors = [{"name": name, "datatype": "FP32", "shape": [1, 5], "data": [1, 2, 3, 4, 5]} for name in ("X", "Y")]
    request = json.dumps({"inputs": tensors})
    answer = json.loads(platform.run("klever", "predict", "summer", "-n", "team", "--input", "-", stdin=request).stdout)
    assert answer["outputs"][0]["data"] == [2, 4, 6, 8, 10]


def test_a_tag_that_is_not_the_conversion_is_not_overwritten(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for path in (DATA / "caffe" / "model").iterdir():
        shutil.copy(path, tmp_path / "model")
    platform.push("team/taken:v1-onnx")
    before = platform.get("versions", "team/taken:v1-onnx")["contentDigest"]
    platform.run("ormb", "save", str(tmp_path), "team/taken:v1")
    platform.run("ormb", "push", "team/taken:v1")
    done = platform.run("klever", "deploy", "team/taken:v1", "-n", "team", "--name", "taken", "--wait", check=False)
    assert done.returncode
    assert "team/taken:v1-onnx is not a conversion" in done.stderr
    assert platform.get("versions", "team/taken:v1-onnx")["contentDigest"] == before
