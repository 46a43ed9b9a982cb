"""Estimators of scikit-learn and boosters of XGBoost become ONNX models with the same answers, or are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import klever.converters
from klever.artifacts import document
from klever.artifacts.metadata import ModelMetadata
from klever.converters.table import converter
from klever.formats import get
from tests.conversion.conftest import environment_python

CASES = Path(__file__).with_name("table_cases.py")
DATA = Path(__file__).parents[1] / "data"
PROGRAMS = Path(klever.converters.__file__).parent / "programs"

CONVERTED = {
    "bayes.joblib": "compressed with lz4",
    "mixture.joblib": "a mixture, whose labels and probabilities have no zipmap",
    "kmeans.joblib": "numbers of clusters",
    "scaler.joblib": "a transformer",
    "imputer.joblib": "a pipeline of transformers",
    "tree.joblib": "labels that are true or false",
    "voting.joblib": "votes, with labels that are text",
    "text.joblib": "texts",
    "columns.joblib": "columns of categories, texts and numbers",
    "encoder.joblib": "categories, of which the encoder refuses unknown ones",
    "xgboost.joblib": "an estimator of XGBoost",
    "lightgbm.joblib": "an estimator of LightGBM",
    "dart.json": "weighted trees",
    "ranking.ubj": "scores for a ranking",
    "targets.json": "several targets",
    "logistic.json": "a regression to a probability",
}
REFUSED = {
    "dummy.joblib": ("sklearn.dummy.DummyClassifier", "serve the model as SKLearn"),
    "two_targets.joblib": ("DecisionTreeClassifier", "(3, 2)", "train one model for each target"),
    "linear.json": ("booster gblinear", "gbtree or dart"),
    "cox.json": ("objective survival:cox", "serve it as XGBoost"),
}
OBJECTIVES = {"logistic.json": "reg:logistic", "cox.json": "survival:cox"}
"""Names of models that are made of regression.json -> their objectives."""

pytestmark = pytest.mark.e2e


def request(name: str, root: Path) -> dict[str, Any]:
    """Return what a job asks of the program: the model with its extracted signature."""
    source, directory = ("SKLearn", "estimators") if name.endswith(".joblib") else ("XGBoost", "boosters")
    model = root / name / "model"
    model.mkdir(parents=True)
    copied = model / f"model{Path(name).suffix}"
    shutil.copy(DATA / directory / ("regression.json" if name in OBJECTIVES else name), copied)
    if name in OBJECTIVES:
        copied.write_text(copied.read_text().replace("reg:squarederror", OBJECTIVES[name]))
    described = ModelMetadata(format=source, signature=get(source).read_signature(model))
    return {
        "model": str(model),
        "output": str(root / name / "out" / "model"),
        "report": str(root / name / "out" / "report.json"),
        "metadata": document.encode(described),
        "options": dict(converter(source, "ONNX").options),
    }


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("tables")
    asked = root / "requests.json"
    asked.write_text(json.dumps({name: request(name, root) for name in (*CONVERTED, *REFUSED)}))
    argv = [str(environment_python("tabular-onnx")), "-I", str(CASES), str(PROGRAMS), str(asked)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=500, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", CONVERTED)
def test_a_model_of_tables_is_converted_with_its_outputs(name: str, reports: dict[str, Any]) -> None:
    report = reports[name]
    assert isinstance(report, dict), report
    assert report["passed"]
    wanted = json.loads((DATA / "estimators" / "wanted.json").read_text())["models"]
    expected = wanted.get(name.removesuffix(".joblib"), {"outputs": ["predict"]})["outputs"]
    assert set(report["outputs"]) == set(expected)


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_no_tool_converts_is_an_error_that_names_the_estimator(name: str, reports: dict[str, Any]) -> None:
    missing = [words for words in REFUSED[name] if words not in reports[name]]
    assert not missing, reports[name]
