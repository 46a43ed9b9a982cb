"""Signatures of XGBoost and LightGBM models are those that the frameworks state (hack/models/boosters.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from klever import formats
from klever.errors import InvalidError
from klever.formats import Signature, Tensor

DATA = Path(__file__).parents[2] / "data" / "boosters"
WANTED = json.loads((DATA / "wanted.json").read_text())
CLASSES = {"probabilities": 3, "numbers_of_classes": 3, "classes": 3}


def read(directory: Path, source: str, name: str) -> Signature:
    """Recognise and read a file under another name, alone in its directory."""
    shutil.copy(DATA / source, directory / name)
    return formats.get(formats.detect(directory)).read_signature(directory)


def check(signature: Signature, wanted: dict[str, Any], name: str, dtype: str) -> None:
    assert signature.inputs == (Tensor("x", (-1, wanted["features"]), dtype),)
    assert signature.outputs == (Tensor("predict", (-1, *wanted["output"][1]), wanted["output"][0]),)
    assert signature.layers.get("tree") == wanted["trees"]
    assert list(signature.details.feature_names) == wanted["names"]
    assert signature.details.classes == tuple(map(str, range(CLASSES.get(name, 0))))


@pytest.mark.parametrize("kind", ["json", "ubj"])
@pytest.mark.parametrize("name", WANTED["xgboost"])
def test_xgboost(tmp_path: Path, name: str, kind: str) -> None:
    signature = read(tmp_path, f"{name}.{kind}", f"model.{kind}")
    check(signature, WANTED["xgboost"][name], name, "float32")
    assert signature.details.producer == WANTED["xgboost"][name]["version"]


@pytest.mark.parametrize("name", WANTED["lightgbm"])
def test_lightgbm(tmp_path: Path, name: str) -> None:
    signature = read(tmp_path, f"{name}.txt", "model.txt")
    check(signature, WANTED["lightgbm"][name], name, "float64")
    assert signature.details.warnings == ()


@pytest.mark.parametrize("name", WANTED["lightgbm"])
def test_the_json_of_lightgbm_is_read_with_a_warning(tmp_path: Path, name: str) -> None:
    signature = read(tmp_path, f"{name}.lightgbm.json", "model.json")
    check(signature, WANTED["lightgbm"][name], name, "float64")
    assert any("save_model" in warning for warning in signature.details.warnings)


def test_the_binary_format_of_xgboost_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"removed; .*save_model\('model\.ubj'\)"):
        read(tmp_path, "binary.deprecated", "m.xgboost")
    (tmp_path / "m.xgboost").write_bytes(b"binf" + (DATA / "binary.deprecated").read_bytes())
    with pytest.raises(InvalidError, match="XGBoost before 3"):
        formats.get("XGBoost").read_signature(tmp_path)


@pytest.mark.parametrize("source", ["probabilities.json", "probabilities.ubj", "classes.txt", "classes.lightgbm.json"])
@pytest.mark.parametrize("part", [0.1, 0.3])
def test_a_truncated_model_is_refused(tmp_path: Path, source: str, part: float) -> None:
    content = (DATA / source).read_bytes()
    name = {"probabilities.json": "model.json", "classes.lightgbm.json": "model.json"}.get(source, source)
    (tmp_path / name).write_bytes(content[: int(len(content) * part / 4)])
    row = formats.get("XGBoost" if source.startswith("prob") else "LightGBM")
    with pytest.raises(InvalidError, match=name):
        row.read_signature(tmp_path)


def test_a_text_that_is_not_lightgbms_fits_no_format(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("trees are green")
    with pytest.raises(InvalidError, match=r"fits no format .*LightGBM needs \*\.txt"):
        formats.detect(tmp_path)
