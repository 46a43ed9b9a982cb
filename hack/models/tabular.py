"""Writes models of tables and the frameworks' own answers to tests/data/serving.

Run it in the Python of the environment `mlflow`, as `python hack/models/tabular.py [CASE…]`: it has the packages of
`tabular` too. A case has the model directory, and `case.json` with a request and the answer.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import sklearn.base
import xgboost
from mlflow import lightgbm as mlflow_lightgbm
from mlflow import pyfunc
from mlflow import sklearn as mlflow_sklearn
from mlflow import xgboost as mlflow_xgboost
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATA = Path(__file__).parents[2] / "tests" / "data" / "serving"
TYPES = {"bool": "BOOL", "int64": "INT64", "float32": "FP32", "float64": "FP64"}
IRIS = load_iris()
ROWS = IRIS.data[::30]
Arrays = Mapping[str, np.ndarray[Any, Any]]


def write(name: str, save: Callable[[Path], Any], inputs: Arrays, outputs: Arrays) -> None:
    """Write one case; `save` writes the model's files into the directory that it is given."""
    directory = DATA / name
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "model").mkdir(parents=True)
    save(directory / "model")
    case = {"inputs": list(map(tensor, inputs.items())), "outputs": list(map(tensor, outputs.items()))}
    (directory / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def tensor(item: tuple[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    name, array = item
    datatype = TYPES.get(str(array.dtype), "BYTES")
    return {"name": name, "datatype": datatype, "shape": array.shape, "data": array.ravel().tolist()}


def labels() -> None:
    """String labels, and two methods of the model."""
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, IRIS.target_names[IRIS.target])
    outputs = {"predict": model.predict(ROWS).astype(object), "predict_proba": model.predict_proba(ROWS)}
    write("sklearn", lambda to: joblib.dump(model, to / "iris.joblib"), {"x": ROWS}, outputs)


def columns() -> None:
    """Columns by name, of different types."""
    table = pd.DataFrame({"city": ["Zug", "Ulm", "Zug", "Graz"] * 5, "rooms": np.arange(20.0)})
    encoder = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    model = make_pipeline(encoder, LinearRegression()).fit(table, np.arange(20.0) * 3)
    asked = table[:3]
    inputs = {"city": asked["city"].to_numpy(object), "rooms": asked["rooms"].to_numpy()}
    write(
        "columns",
        lambda to: joblib.dump(model, to / "flats.joblib"),
        inputs,
        {"predict": model.predict(asked)},
    )


def other_version() -> None:
    """A model that says it was saved with another version."""
    model = LinearRegression().fit(IRIS.data, IRIS.target)

    def save(to: Path) -> None:
        sklearn.base.__version__ = "1.2.2"
        joblib.dump(model, to / "old.joblib")
        sklearn.base.__version__ = sklearn.__version__

    write("old-sklearn", save, {"x": ROWS}, {"predict": model.predict(ROWS)})


def pickled() -> None:
    """An estimator of another library."""
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(IRIS.data, IRIS.target)
    outputs = {"predict": model.predict(ROWS), "predict_proba": model.predict_proba(ROWS)}
    write("pickle", lambda to: (to / "iris.pickle").write_bytes(pickle.dumps(model)), {"x": ROWS}, outputs)


def boosted() -> None:
    rows = ROWS.astype(np.float32)
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(IRIS.data, IRIS.target)

    def save(to: Path) -> None:
        model.save_model(to / "iris.json")
        (to / "iris.json").rename(to / "iris.xgboost")

    write("xgboost", save, {"x": rows}, {"predict": model.get_booster().inplace_predict(rows)})
    trained = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1}, lightgbm.Dataset(IRIS.data, IRIS.target), 5
    )
    write(
        "lightgbm",
        lambda to: trained.save_model(to / "iris.txt"),
        {"x": ROWS},
        {"predict": trained.predict(ROWS)},
    )


def write_tracked(name: str, model: Any, asked: Any, save: Callable[..., Any]) -> None:
    """Write a case of MLflow; `save` is one of its functions `save_model`."""
    path = DATA / name / "model"
    shutil.rmtree(DATA / name, ignore_errors=True)
    signature = infer_signature(asked, model.predict(asked))
    save(model, path=str(path), signature=signature, pip_requirements=["mlflow"])
    answer = pyfunc.load_model(str(path)).predict(asked)
    inputs = {key: np.asarray(asked[key]) for key in asked} if hasattr(asked, "keys") else {"x": asked}
    outputs = answer if isinstance(answer, dict) else {"predict": np.asarray(answer)}
    case = {"inputs": list(map(tensor, inputs.items())), "outputs": list(map(tensor, outputs.items()))}
    (DATA / name / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def tracked() -> None:
    """MLflow with columns of several types and labels as text."""
    table = pd.DataFrame(
        {"city": ["Zug", "Ulm", "Zug", "Graz"] * 5, "rooms": np.arange(20), "lift": [True, False] * 10, "size": 0.5}
    )
    encoder = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression()).fit(table, np.repeat(["cheap", "dear"], 10))
    write_tracked("mlflow", model, table[8:12], mlflow_sklearn.save_model)


def tracked_matrix() -> None:
    """MLflow with one unnamed tensor."""
    rows = ROWS.astype(np.float32)
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(IRIS.data, IRIS.target)
    write_tracked("mlflow-xgboost", model, rows, mlflow_xgboost.save_model)


def tracked_columns() -> None:
    """MLflow with a booster over columns."""
    table = pd.DataFrame(IRIS.data, columns=["sepal_length", "sepal_width", "petal_length", "petal_width"])
    model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(table, IRIS.target), 3)
    write_tracked("mlflow-lightgbm", model, table[::30], mlflow_lightgbm.save_model)


class Norms(pyfunc.PythonModel):  # type: ignore[misc] # MLflow has no types here
    """Takes named tensors, and returns several."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's signature
        points, scale = model_input["points"], model_input["scale"]
        return {"norm": np.sqrt((points**2).sum(axis=1)), "scaled": points * scale[:, None]}


def tracked_function() -> None:
    """MLflow with a model that is Python code."""

    class Bound:
        predict = staticmethod(lambda asked: Norms().predict(None, asked))

    def save(_: Bound, **options: Any) -> None:
        pyfunc.save_model(python_model=Norms(), **options)

    asked = {"points": np.array([[3.0, 4.0], [6.0, 8.0]]), "scale": np.array([1.0, 2.0])}
    write_tracked("mlflow-function", Bound(), asked, save)


CASES = {
    "sklearn": labels,
    "columns": columns,
    "old-sklearn": other_version,
    "pickle": pickled,
    "boosted": boosted,
    "mlflow": tracked,
    "mlflow-xgboost": tracked_matrix,
    "mlflow-lightgbm": tracked_columns,
    "mlflow-function": tracked_function,
}


def main() -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name in sys.argv[1:] or CASES:
        CASES[name]()


main()
