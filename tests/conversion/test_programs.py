"""The programs of Klever's converters, each in its environment, on small models of the frameworks."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from klever.artifacts import document, ormbfile
from klever.artifacts.metadata import ModelMetadata
from klever.converters.builtin import BUILT_IN, BuiltIn
from klever.formats import Signature, get
from tests.conversion.conftest import environment_python
from tests.torch_environment import needs_torch

DATA = Path(__file__).parents[1] / "data"

_EXTRACTED = ("serving", "networks")
"""Directories of models that are converted with their signature, as a job converts what was extracted."""

pytestmark = pytest.mark.e2e


@dataclass
class Conversion:
    """What a program left: the exit code, its standard error, the output directory and the report."""

    code: int
    errors: str
    output: Path
    report: dict[str, Any]


def convert(source: str, target: str, model: Path, root: Path, **env: str) -> Conversion:
    """Run the program of a pair as the executor does, but without the sandbox."""
    found = BUILT_IN[source, target]
    assert isinstance(found, BuiltIn)
    described = ormbfile.read_ormbfile(model / ormbfile.NAME) or ModelMetadata(format=source)
    if described.signature is None and model.parent.name in _EXTRACTED:
        described = replace(described, signature=get(source).read_signature(model / "model"))
    request = {
        "model": str(model / "model"),
        "output": str(root / "model"),
        "report": str(root / "report.json"),
        "metadata": document.encode(described),
        "options": dict(found.options),
    }
    (root / "request.json").write_text(json.dumps(request))
    argv = [str(environment_python(found.environment)), "-I", str(found.program), str(root / "request.json")]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=500, check=False)
    report = root / "report.json"
    return Conversion(
        done.returncode, done.stderr, root / "model", json.loads(report.read_text()) if report.exists() else {}
    )


def signature(format_: str, model: Path) -> Signature:
    """Return the signature of a model: for models of tables the one that their author wrote, as they are served."""
    described = ormbfile.read_ormbfile(model / ormbfile.NAME)
    if model.parent.name in _EXTRACTED and described and described.signature:
        return described.signature
    return get(format_).read_signature(model / "model")


@pytest.mark.parametrize(
    ("source", "target", "model"),
    [
        ("H5", "SavedModel", "h5"),
        ("H5", "ONNX", "h5"),
        ("SavedModel", "ONNX", "savedmodel"),
        ("GraphDef", "ONNX", "graphdef"),
        ("H5", "SavedModel", "networks/h5-keras3"),
        ("Keras", "ONNX", "networks/keras"),
        ("SavedModel", "ONNX", "networks/savedmodel"),
        pytest.param("TorchScript", "ONNX", "networks/torchscript", marks=needs_torch),
        ("SKLearn", "ONNX", "serving/sklearn"),
        ("SKLearn", "ONNX", "serving/columns"),
        ("XGBoost", "ONNX", "serving/xgboost"),
        ("LightGBM", "ONNX", "serving/lightgbm"),
        ("ONNX", "ONNX", "onnx"),
    ],
)
def test_a_converted_model_answers_as_the_model_under_the_same_names(
    source: str, target: str, model: str, tmp_path: Path
) -> None:
    done = convert(source, target, DATA / model, tmp_path)
    assert done.code == 0, done.errors
    assert done.report["passed"]
    assert "random, batch 1" in done.report["samples"]
    before = signature(source, DATA / model)
    after = get(target).read_signature(done.output)
    assert {tensor.name for tensor in after.inputs} == {tensor.name for tensor in before.inputs}
    assert {tensor.name for tensor in after.outputs} == {tensor.name for tensor in before.outputs}
    assert set(done.report["outputs"]) == {tensor.name for tensor in after.outputs}


@pytest.mark.parametrize(
    ("source", "model"), [("CaffeModel", "caffe"), ("NetDef", "netdef"), ("MXNetParams", "mxnetparams")]
)
def test_a_model_that_no_framework_runs_is_converted_and_the_report_says_so(
    source: str, model: str, tmp_path: Path
) -> None:
    inputs = [{"name": name, "size": [1, 5]} for name in ("X", "Y", "data0", "data1")]
    done = convert(source, "ONNX", DATA / model, tmp_path, INPUTS=json.dumps(inputs))
    assert done.code == 0, done.errors
    assert source in done.report["not_compared"]
    assert get("ONNX").read_signature(done.output).inputs


def test_a_quantization_leaves_the_directory_of_the_model_as_it_was(tmp_path: Path) -> None:
    before = sorted((DATA / "onnx" / "model").iterdir())
    assert convert("ONNX", "ONNX", DATA / "onnx", tmp_path).code == 0
    assert sorted((DATA / "onnx" / "model").iterdir()) == before


def classifier(directory: Path) -> Path:
    """Write an ONNX model of four scores; returns the model directory."""
    (directory / "source" / "model").mkdir(parents=True)
    weights = numpy_helper.from_array(np.random.default_rng(1).standard_normal((16, 4)).astype("f4"), "w")
    ends = [helper.make_tensor_value_info(name, 1, ["batch", size]) for name, size in (("x", 16), ("scores", 4))]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["scores"])], "g", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, directory / "source" / "model" / "m.onnx")
    return directory / "source"


def test_a_quantization_reports_the_accuracy_that_it_lost(tmp_path: Path) -> None:
    done = convert("ONNX", "ONNX", classifier(tmp_path), tmp_path)
    assert done.code == 0, done.errors
    assert done.report["tolerance"] is None
    scores = done.report["outputs"]["scores"]
    assert 0 < scores["mean"] < scores["relative"] < 0.1
    assert 0.8 < scores["agreement"] <= 1


def test_the_caller_says_how_much_a_quantization_may_lose(tmp_path: Path) -> None:
    done = convert("ONNX", "ONNX", classifier(tmp_path), tmp_path, TOLERANCE="1e-6")
    assert done.code == 1
    assert "by more than 1e-06 (scores: relative" in done.errors


def test_the_last_word_of_a_program_is_its_error_alone(tmp_path: Path) -> None:
    """Frameworks write to standard error, too."""
    word = tmp_path / "word"
    done = convert(
        "SKLearn", "ONNX", DATA / "serving" / "sklearn", tmp_path, TOLERANCE="1e-30", KLEVER_TERMINATION_LOG=str(word)
    )
    assert done.code == 1
    assert word.read_text().startswith("the converted model differs by more than 1e-30")


def test_a_difference_above_the_tolerance_fails_with_the_numbers(tmp_path: Path) -> None:
    done = convert("SKLearn", "ONNX", DATA / "serving" / "sklearn", tmp_path, TOLERANCE="1e-30")
    assert done.code == 1
    assert "predict_proba" in done.errors
    assert not done.report["passed"]
    assert done.report["outputs"]["predict_proba"]["relative"] > 0


def test_a_shape_that_nobody_knows_is_an_error_that_names_the_input(tmp_path: Path) -> None:
    model = tmp_path / "source"
    (model / "model").mkdir(parents=True)
    for path in (DATA / "mxnetparams" / "model").iterdir():
        (model / "model" / path.name).write_bytes(path.read_bytes())
    done = convert("MXNetParams", "ONNX", model, tmp_path)
    assert done.code == 1
    assert "'data0'" in done.errors
    assert "INPUTS" in done.errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('layer { name: "x" type: "Warp" bottom: "data" top: "x" }', "layer 'x'"),
        ("layer { name: ", "a.prototxt"),
    ],
)
def test_a_caffe_model_that_cannot_be_converted_is_an_error_that_names_the_place(
    text: str, words: str, tmp_path: Path
) -> None:
    model = tmp_path / "source" / "model"
    model.mkdir(parents=True)
    (model / "a.prototxt").write_text(f'input: "data" input_dim: [1, 3, 8, 8]\n{text}')
    (model / "a.caffemodel").write_bytes(b"")
    done = convert("CaffeModel", "ONNX", model.parent, tmp_path)
    assert done.code == 1
    assert words in done.errors
    assert "Traceback" not in done.errors


@pytest.mark.parametrize("symbol", ["{", "[]", '{"nodes": [{"op": "null"}], "heads": []}', "[" * 100_000])
def test_a_damaged_model_is_an_error_in_one_line(symbol: str, tmp_path: Path) -> None:
    model = tmp_path / "source" / "model"
    model.mkdir(parents=True)
    (model / "a-symbol.json").write_text(symbol)
    (model / "a.params").write_bytes((DATA / "mxnetparams" / "model" / "mxnet-0000.params").read_bytes())
    done = convert("MXNetParams", "ONNX", model.parent, tmp_path)
    assert done.code == 1
    assert len(done.errors.strip().splitlines()) == 1
