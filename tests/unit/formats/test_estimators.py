"""Signatures of pickled estimators are those that scikit-learn states (hack/models/estimators.py writes both)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Signature, Tensor, sklearn
from tests.unit.pickles.test_machine import LIVE

DATA = Path(__file__).parents[2] / "data"
WANTED = json.loads((DATA / "estimators" / "wanted.json").read_text())
NO_NUMBER_OF_FEATURES = {"xgboost", "text", "columns"}


def read(name: str) -> Signature:
    return sklearn.read_signature(next((DATA / "estimators").glob(f"{name}.*")))


def said(outputs: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What the framework says of its results, in the words of a signature."""
    texts = {name: dtype == "object" or dtype.startswith("<U") for name, (dtype, _) in outputs.items()}
    return {name: ("string" if texts[name] else dtype, (-1, *size)) for name, (dtype, size) in outputs.items()}


@pytest.mark.parametrize("name", WANTED["models"])
def test_the_signature_is_what_the_framework_says(name: str) -> None:
    wanted, signature = WANTED["models"][name], read(name)
    assert {tensor.name: (tensor.dtype, tensor.size) for tensor in signature.outputs} == said(wanted["outputs"])
    assert list(signature.details.classes) == wanted["classes"]
    assert list(signature.details.feature_names) == wanted["names"]
    if name not in NO_NUMBER_OF_FEATURES:
        assert signature.inputs[0].size == (-1, wanted["features"])
    if name not in ("xgboost", "lightgbm"):
        assert signature.details.producer == f"scikit-learn {WANTED['version']}"
    assert signature.details.warnings == ()


def test_a_pipeline_counts_its_steps_and_its_parameters() -> None:
    signature = read("logistic")
    assert signature.layers == {"LogisticRegression": 1, "StandardScaler": 1}
    # 3 x 4 coefficients, 3 intercepts, the number of iterations; 3 x 4 numbers of the scaler
    assert (signature.details.parameters, signature.details.parameter_bytes) == (28, 27 * 8 + 4)


def test_columns_that_are_chosen_by_name_are_inputs() -> None:
    assert read("columns").inputs == (
        Tensor("city", (-1,), "string"), Tensor("rooms", (-1,), "float64"), Tensor("note", (-1,), "string"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("m.joblib", b"", "SKLearn"),
        ("m.pkl", pickle.dumps({"weights": [1]}), "Pickle"),
        ("m.pickle", (DATA / "estimators" / "protocol0.pkl").read_bytes(), "SKLearn"),
        ("m.pkl", (DATA / "estimators" / "protocol5.pkl").read_bytes(), "SKLearn"),
    ],
)
def test_usual_names_are_recognised(tmp_path: Path, name: str, content: bytes, wanted: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert formats.detect(tmp_path) == wanted


@pytest.mark.parametrize(("value", "kind"), [({"weights": [1]}, "dict"), ({1, 2}, "object"), (None, "NoneType")])
def test_an_object_that_is_not_an_estimator(tmp_path: Path, value: object, kind: str) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(value))
    found = formats.get("Pickle").read_signature(tmp_path)
    assert (found.inputs, found.outputs, found.layers) == ((), (), {kind: 1})
    with pytest.raises(InvalidError, match=rf"m\.pkl contains a {kind}"):
        formats.get("SKLearn").read_signature(tmp_path)


@pytest.mark.parametrize("name", LIVE)
def test_code_in_a_pickle_does_not_run_and_is_reported(tmp_path: Path, name: str) -> None:
    ran = tmp_path / "ran"
    model = tmp_path / "model"
    model.mkdir()
    (model / "m.pkl").write_bytes(LIVE[name](str(ran)))
    warnings = formats.get("Pickle").read_signature(model).details.warnings
    assert any("mkdir" in warning for warning in warnings)
    assert not ran.exists()


def test_code_beside_an_estimator_is_reported(tmp_path: Path) -> None:
    inner = (DATA / "estimators" / "protocol4.pkl").read_bytes()
    evil = b"cos\nmkdir\n(V" + str(tmp_path / "ran").encode() + b"\ntR0"
    (tmp_path / "m.pkl").write_bytes(inner[:2] + evil + inner[11:])  # in place of the frame
    found = formats.get("SKLearn").read_signature(tmp_path)
    assert found.outputs[0].name == "predict"
    assert any("os.mkdir" in warning for warning in found.details.warnings)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["logistic", "named", "forest", "forest_regressor", "boosting", "gradient", "tree"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    """They are uncompressed, zlib, gzip, bz2, lzma, xz and lz4."""
    content = next((DATA / "estimators").glob(f"{name}.*")).read_bytes()
    (tmp_path / "m.joblib").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidError, match=r"m\.joblib"):
        formats.get("SKLearn").read_signature(tmp_path)


def test_the_old_compression_of_joblib_is_explained(tmp_path: Path) -> None:
    (tmp_path / "m.joblib").write_bytes(b"ZF0x10               " + bytes(40))
    with pytest.raises(InvalidError, match="save it again"):
        formats.get("SKLearn").read_signature(tmp_path)
