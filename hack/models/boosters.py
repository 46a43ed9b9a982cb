"""Writes XGBoost and LightGBM models to tests/data/boosters, and what the frameworks say of them.

Run it in an environment with xgboost-cpu 3.2.0, lightgbm 4.7.0, scikit-learn 1.9.1 and numpy 1.26.4:
`python hack/models/boosters.py`. With `--binary`, in one with xgboost-cpu 2.1.4, it writes the binary format alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

DATA = Path(__file__).parents[2] / "tests" / "data" / "boosters"
X = np.random.default_rng(0).normal(size=(60, 4))
NUMBER = X[:, 0] + X[:, 1]
CLASS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NAMES = ["a", "b b", "ß", "d"]
XGBOOST: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "probabilities": ({"objective": "multi:softprob", "num_class": 3}, CLASS, NAMES),
    "numbers_of_classes": ({"objective": "multi:softmax", "num_class": 3}, CLASS, None),
    "binary_classes": ({"objective": "binary:logistic"}, CLASS > 0, NAMES),
    "regression": ({"objective": "reg:squarederror"}, NUMBER, None),
    "targets": ({"objective": "reg:squarederror"}, X[:, :2], None),
    "dart": ({"objective": "reg:squarederror", "booster": "dart"}, NUMBER, None),
    "linear": ({"objective": "reg:squarederror", "booster": "gblinear"}, NUMBER, None),
    "ranking": ({"objective": "rank:pairwise"}, CLASS, None),
}
LIGHTGBM: dict[str, tuple[dict[str, Any], Any]] = {
    "classes": ({"objective": "multiclass", "num_class": 3}, CLASS),
    "two": ({"objective": "binary"}, CLASS > 0),
    "number": ({"objective": "regression"}, NUMBER),
}


def boosted(options: dict[str, Any], target: Any, names: list[str] | None) -> tuple[xgboost.Booster, Any]:
    rows = xgboost.DMatrix(X, target, feature_names=names)
    return xgboost.train({"max_depth": 2, "nthread": 1, **options}, rows, 2), rows


def xgboosts() -> dict[str, Any]:
    wanted = {}
    for name, (options, target, names) in XGBOOST.items():
        model, rows = boosted(options, target, names)
        result = model.predict(rows)
        for kind in ("json", "ubj"):
            model.save_model(DATA / f"{name}.{kind}")
        wanted[name] = described(result, model.num_features(), model.feature_names or [])
        wanted[name]["trees"] = None if options.get("booster") == "gblinear" else len(model.get_dump())
        wanted[name]["version"] = f"xgboost {xgboost.__version__}"
    return wanted


def lightgbms() -> dict[str, Any]:
    import lightgbm  # noqa: PLC0415 - the environment of the binary format does not have it

    wanted = {}
    for name, (options, target) in LIGHTGBM.items():
        small = {"num_leaves": 3, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
        model = lightgbm.train(small | options, lightgbm.Dataset(X, target, feature_name=["a", "b", "c", "d"]), 2)
        model.save_model(DATA / f"{name}.txt")
        (DATA / f"{name}.lightgbm.json").write_text(json.dumps(model.dump_model()))
        wanted[name] = described(model.predict(X), model.num_feature(), model.feature_name())
        wanted[name]["trees"] = model.num_trees()
    return wanted


def described(result: Any, features: int, names: list[str]) -> dict[str, Any]:
    return {"features": features, "names": names, "output": [str(result.dtype), list(result.shape[1:])]}


def main() -> None:
    DATA.mkdir(exist_ok=True)
    if "--binary" in sys.argv:
        model, _ = boosted(*XGBOOST["probabilities"])
        model.save_model(DATA / "binary.deprecated")
        return
    document = {"xgboost": xgboosts(), "lightgbm": lightgbms()}
    (DATA / "wanted.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
