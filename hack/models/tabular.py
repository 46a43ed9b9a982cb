"""Writes models of tables and the frameworks' own answers to tests/data/serving.

Run it in the Python of the environment `tabular`: `$(klever env install tabular)/bin/python hack/models/tabular.py`.
A case has the model directory, and `case.json` with a request and the answer.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import sklearn.base
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

DATA = Path(__file__).parents[2] / "tests" / "data" / "serving"
TYPES = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "object": "BYTES"}
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
    return {"name": name, "datatype": TYPES[str(array.dtype)], "shape": array.shape, "data": array.ravel().tolist()}


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


def main() -> None:
    for case in (labels, columns, other_version, pickled, boosted):
        case()


main()
