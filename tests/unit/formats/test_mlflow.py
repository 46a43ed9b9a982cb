"""Signatures of MLflow models are those that MLflow reads (hack/models/mlflow_models.py)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Signature, Tensor, mlflow
from tests.unit.pickles.test_machine import LIVE

DATA = Path(__file__).parents[2] / "data" / "mlflow"
WANTED = json.loads((DATA / "wanted.json").read_text())
TYPES = {"double": "float64", "long": "int64"}


def read(directory: Path) -> Signature:
    assert formats.detect(directory) == "MLflow"
    return formats.get("MLflow").read_signature(directory)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a model, to be changed."""
    return Path(shutil.copytree(DATA / "columns", tmp_path / "model"))


def change(model: Path, old: str, new: str) -> None:
    text = (model / "MLmodel").read_text()
    assert old in text
    (model / "MLmodel").write_text(text.replace(old, new, 1))


def test_columns() -> None:
    specs = json.loads(WANTED["columns"]["inputs"])
    signature = read(DATA / "columns")
    assert signature.inputs == tuple(Tensor(spec["name"], (-1,), TYPES[spec["type"]]) for spec in specs)
    assert signature.outputs == (Tensor("predict", (-1,), "int64"),)
    assert signature.layers == {"sklearn": 1}


def test_tensors() -> None:
    signature = read(DATA / "tensor")
    for side, found in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        (spec,) = json.loads(WANTED["tensor"][side])
        assert [(t.dtype, list(t.size or ())) for t in found] == [
            (spec["tensor-spec"]["dtype"], spec["tensor-spec"]["shape"])
        ]


def test_without_a_signature_the_estimator_is_read() -> None:
    assert WANTED["unsigned"] is None
    signature = read(DATA / "unsigned")
    assert signature.inputs == (Tensor("x", (-1, 4), "float64"),)
    assert signature.outputs == (Tensor("predict", (-1,), "int64"),)


def test_without_a_signature_the_output_is_that_of_mlflows_method(model: Path) -> None:
    shutil.copytree(DATA / "unsigned", model, dirs_exist_ok=True)
    change(model, "predict_fn: predict", "predict_fn: predict_proba")
    assert read(model).outputs == (Tensor("predict_proba", (-1, 3), "float64"),)


@pytest.mark.parametrize("name", WANTED)
def test_the_facts_of_the_pickle_do_not_depend_on_a_signature(name: str) -> None:
    details = read(DATA / name).details
    assert details.format_version == "mlflow 3.17.2"
    assert details.producer == "scikit-learn 1.9.1"
    assert details.classes == ("0", "1", "2")
    assert details.warnings == ()


def test_the_file_alone_is_read_with_a_warning() -> None:
    signature = mlflow.read_signature(DATA / "columns" / "MLmodel")
    assert len(signature.inputs) == 4
    assert signature.details.warnings


@pytest.mark.parametrize("name", LIVE)
def test_code_in_the_pickle_does_not_run_and_is_reported(model: Path, tmp_path: Path, name: str) -> None:
    (model / "model.pkl").write_bytes(LIVE[name](str(tmp_path / "ran")))
    assert any("mkdir" in warning for warning in read(model).details.warnings)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "location", ["../outside.pkl", "/etc/passwd", "a/../../b", "a\\\\b", "link.pkl", "missing.pkl"]
)
def test_a_file_outside_the_model_or_missing_is_refused(model: Path, location: str) -> None:
    (model / "link.pkl").symlink_to("/etc/passwd")
    (model.parent / "outside.pkl").write_bytes(b"N.")
    change(model, "pickled_model: model.pkl", f"pickled_model: {location}")
    with pytest.raises(InvalidError):
        read(model)


def test_a_pipe_in_place_of_the_model_is_not_opened(model: Path) -> None:
    (model / "model.pkl").unlink()
    os.mkfifo(model / "model.pkl")
    with pytest.raises(InvalidError, match="regular file"):
        read(model)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("code: null", "code: code", "Python code"),
        ("loader_module: mlflow.sklearn", "loader_module: evil", "evil"),
    ],
)
def test_code_that_a_flavor_names_is_reported(model: Path, old: str, new: str, said: str) -> None:
    change(model, old, new)
    assert any(said in warning for warning in read(model).details.warnings)


NINE = "a: &a [x, x, x, x, x, x, x, x, x]\n"
BOMB = NINE + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9))

INVALID = {
    "nothing": "",
    "a list": "[1]",
    "no flavors": "flavors: {}",
    "flavors that are text": "flavors: text",
    "a YAML bomb": BOMB,
    "nested flows": "flavors: " + "[" * 100_000,
    "nested mappings": "".join(f"{' ' * i}a:\n" for i in range(1000)),
    "an object of Python": "flavors: !!python/object/apply:os.system ['touch ran']",
    "a name of Python": "flavors: {a: !!python/name:os.system }",
    "a key twice": "flavors: {a: {}}\nflavors: {b: {}}",
    "a merge of itself": "flavors: &a\n  <<: *a",
    "a signature that is not JSON": "flavors: {a: {}}\nsignature: {inputs: '[{'}",
    "a signature that is a number": "flavors: {a: {}}\nsignature: {inputs: '5'}",
    "a shape of text": 'flavors: {a: {}}\nsignature:\n inputs: \'[{"tensor-spec": {"dtype": "x", "shape": "y"}}]\'',
    "an infinite shape": 'flavors: {a: {}}\nsignature: {inputs: "[{\\"tensor-spec\\": {\\"shape\\": [1e999]}}]"}',
    "a signature that is nested": f"flavors: {{a: {{}}}}\nsignature: {{inputs: '{'[' * 50_000}'}}",
    "a control character": "flavors: \0",
    "bytes that are not text": "\udcff",
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "MLmodel").write_bytes(INVALID[name].encode(errors="surrogateescape"))
    with pytest.raises(InvalidError):
        read(tmp_path)
