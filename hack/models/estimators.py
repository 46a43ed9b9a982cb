"""Writes fitted estimators to tests/data/estimators, and what scikit-learn says of them.

Run it in an environment with scikit-learn 1.9.1, xgboost-cpu 3.2.0, lightgbm 4.7.0, pandas, lz4 and numpy 1.26.4:
`python hack/models/estimators.py`.
"""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import sklearn
import xgboost
from sklearn import (
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.datasets import load_iris

DATA = Path(__file__).parents[2] / "tests" / "data" / "estimators"
METHODS = ("predict", "predict_proba", "transform")
IRIS = load_iris()
X = IRIS.data[::5]
NUMBER = X[:, 0]
CLASS = IRIS.target[::5]
NAME = IRIS.target_names[CLASS]
NOTES = ["red blue", "blue", "green red"] * 10
FRAME = pd.DataFrame({"city": ["Zug", "Ulm", "Graz"] * 10, "rooms": np.arange(30.0), "note": NOTES})
COMPRESSIONS = (0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3), ("lz4", 3))


def models() -> dict[str, tuple[Any, Any]]:
    """Fitted models, each with what it predicts from, by name."""
    scaled = pipeline.make_pipeline
    columns = compose.ColumnTransformer([
        ("city", preprocessing.OneHotEncoder(), ["city"]),
        ("note", feature_extraction.text.TfidfVectorizer(), "note"),
        ("rooms", preprocessing.StandardScaler(), ["rooms"]),
    ])  # fmt: skip
    search = model_selection.GridSearchCV(
        scaled(preprocessing.StandardScaler(), svm.SVC()), {"svc__C": [1.0, 2.0]}, cv=2
    )
    forest = ensemble.RandomForestClassifier(3, max_depth=2, random_state=0)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    found = {
        "logistic": (scaled(preprocessing.StandardScaler(), linear_model.LogisticRegression()), X, NAME),
        "named": (linear_model.LogisticRegression(max_iter=500), frame, CLASS),
        "forest": (forest, X, CLASS),
        "forest_regressor": (ensemble.RandomForestRegressor(2, max_depth=2), X, X[:, :2]),
        "boosting": (ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5), X, CLASS),
        "gradient": (ensemble.GradientBoostingRegressor(n_estimators=2, max_depth=1), X, NUMBER),
        "tree": (tree.DecisionTreeClassifier(max_depth=2), X, CLASS > 0),
        "two_targets": (tree.DecisionTreeClassifier(max_depth=2), X, np.stack([CLASS, CLASS > 0], 1)),
        "linear": (linear_model.LinearRegression(), X, NUMBER),
        "linear_several": (linear_model.LinearRegression(), X, X[:, :3]),
        "ridge_classifier": (linear_model.RidgeClassifier(), X, NAME),
        "sgd": (linear_model.SGDClassifier(), X, CLASS),
        "sgd_log": (linear_model.SGDClassifier(loss="log_loss"), X, CLASS),
        "svc": (svm.SVC(), X, CLASS),
        "svr": (svm.SVR(), X, NUMBER),
        "linear_svc": (svm.LinearSVC(), X, CLASS),
        "rest": (multiclass.OneVsRestClassifier(svm.LinearSVC()), X, CLASS),
        "voting": (ensemble.VotingClassifier([("a", naive_bayes.GaussianNB())], voting="soft"), X, NAME),
        "neighbors": (neighbors.KNeighborsClassifier(3), X, CLASS),
        "neighbors_regressor": (neighbors.KNeighborsRegressor(3), X, X[:, :2]),
        "bayes": (naive_bayes.GaussianNB(), X, NAME.astype(object)),
        "discriminant": (discriminant_analysis.LinearDiscriminantAnalysis(), X, CLASS),
        "network": (neural_network.MLPClassifier((3,), max_iter=20), X, CLASS),
        "network_regressor": (neural_network.MLPRegressor(hidden_layer_sizes=(3,), max_iter=20), X, NUMBER),
        "process": (gaussian_process.GaussianProcessRegressor(), X, NUMBER),
        "dummy": (dummy.DummyClassifier(), X, CLASS),
        "kmeans": (cluster.KMeans(2, n_init=1), X, None),
        "mean_shift": (cluster.MeanShift(), X, None),
        "mixture": (mixture.GaussianMixture(2), X, None),
        "isolation": (ensemble.IsolationForest(n_estimators=2, max_samples=5), X, None),
        "scaler": (preprocessing.MinMaxScaler(), X, None),
        "pca": (decomposition.PCA(2), X, None),
        "imputer": (scaled(impute.SimpleImputer(), preprocessing.StandardScaler()), X, None),
        "text": (scaled(feature_extraction.text.CountVectorizer(), naive_bayes.MultinomialNB()), NOTES, CLASS),
        "columns": (scaled(columns, linear_model.LogisticRegression()), FRAME, CLASS),
        "encoder": (scaled(preprocessing.OneHotEncoder(), linear_model.Ridge()), FRAME[["city"]].to_numpy(), NUMBER),
        "search": (search, X, CLASS),
        "xgboost": (xgboost.XGBClassifier(n_estimators=1, max_depth=1), X, CLASS),
        "lightgbm": (lightgbm.LGBMClassifier(n_estimators=1, num_leaves=2, verbose=-1), X, CLASS),
    }
    return {name: (model.fit(rows, target), rows) for name, (model, rows, target) in found.items()}


def described(model: Any, rows: Any) -> dict[str, Any]:
    """What the framework says: the results of the methods that the model has."""
    methods = METHODS[:2] if hasattr(model, "predict") else METHODS
    results = {method: getattr(model, method)(rows) for method in methods if hasattr(model, method)}
    arrays = {name: result for name, result in results.items() if not isinstance(result, list)}
    classes = getattr(model, "classes_", None)
    return {
        "features": getattr(model, "n_features_in_", None),
        "names": [str(name) for name in getattr(model, "feature_names_in_", ())],
        "classes": [str(label) for label in classes] if isinstance(classes, np.ndarray) else [],
        "outputs": {name: [str(result.dtype), list(result.shape[1:])] for name, result in arrays.items()},
    }


def main() -> None:
    warnings.simplefilter("ignore")
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    wanted = {}
    for number, (name, (model, rows)) in enumerate(models().items()):
        joblib.dump(model, DATA / f"{name}.joblib", compress=COMPRESSIONS[number % len(COMPRESSIONS)])
        wanted[name] = described(model, rows)
    model = linear_model.LogisticRegression().fit(X, NAME)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (DATA / f"protocol{protocol}.pkl").write_bytes(pickle.dumps(model, protocol))
        wanted[f"protocol{protocol}"] = described(model, X)
    document = {"version": sklearn.__version__, "models": wanted}
    (DATA / "wanted.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
