"""The models of tables of `bench/extraction.py`."""

from __future__ import annotations

from bench.extraction_case import Case

__all__ = ["TABLES"]

NEIGHBORS = """
import sys, joblib, numpy
from sklearn.neighbors import KNeighborsClassifier
rows = numpy.random.default_rng(0).normal(size=(50_000, 100))
model = KNeighborsClassifier(algorithm="brute").fit(rows, rows[:, 0] > 0)
"""
FOREST = """
import sys, joblib, numpy
from sklearn.ensemble import RandomForestClassifier
rows = numpy.random.default_rng(0).normal(size=(10_000, 20))
model = RandomForestClassifier(100, max_depth=12).fit(rows, rows[:, :3].argmax(1))
"""
BOOSTER = """
import sys, numpy, xgboost
rows = numpy.random.default_rng(0).normal(size=(10_000, 20))
data = xgboost.DMatrix(rows, rows[:, :3].argmax(1))
model = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 9}, data, 100)
"""
LIGHTGBM = """
import sys, numpy, lightgbm
rows = numpy.random.default_rng(0).normal(size=(10_000, 20))
data = lightgbm.Dataset(rows, rows[:, :3].argmax(1))
model = lightgbm.train({"objective": "multiclass", "num_class": 3, "num_leaves": 63, "verbose": -1}, data, 100)
"""
MLFLOW = """
import sys, mlflow.sklearn, numpy
from sklearn.linear_model import LogisticRegression
from mlflow.models import infer_signature
rows = numpy.random.default_rng(0).normal(size=(100, 20))
model = LogisticRegression().fit(rows, rows[:, 0] > 0)
signature = infer_signature(rows, model.predict(rows))
mlflow.sklearn.save_model(
    model, sys.argv[1], signature=signature, serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
)
"""


def joblib(name: str, make: str, compress: str) -> Case:
    dump = f"joblib.dump(model, sys.argv[1] + '/m.joblib', compress={compress})\n"
    return Case(name, "SKLearn", "m.joblib", make + dump, "import sys, joblib; joblib.load(sys.argv[1])", "sklearn")


def xgboost(kind: str) -> Case:
    save = f"model.save_model(sys.argv[1] + '/model.{kind}')\n"
    load = "import sys, xgboost; xgboost.Booster(model_file=sys.argv[1])"
    return Case(f"XGBoost {kind}", "XGBoost", f"model.{kind}", BOOSTER + save, load, "xgboost")


TABLES = (
    joblib("joblib, one array", NEIGHBORS, "0"),
    joblib("joblib, one array, zlib", NEIGHBORS, "('zlib', 3)"),
    joblib("joblib, one array, lz4", NEIGHBORS, "('lz4', 3)"),
    joblib("joblib, forest", FOREST, "0"),
    joblib("joblib, forest, zlib", FOREST, "('zlib', 3)"),
    joblib("joblib, forest, gzip", FOREST, "('gzip', 3)"),
    joblib("joblib, forest, bz2", FOREST, "('bz2', 3)"),
    joblib("joblib, forest, lzma", FOREST, "('lzma', 3)"),
    joblib("joblib, forest, xz", FOREST, "('xz', 3)"),
    joblib("joblib, forest, lz4", FOREST, "('lz4', 3)"),
    xgboost("json"),
    xgboost("ubj"),
    Case(
        "LightGBM text",
        "LightGBM",
        "model.txt",
        LIGHTGBM + "model.save_model(sys.argv[1] + '/model.txt')\n",
        "import sys, lightgbm; lightgbm.Booster(model_file=sys.argv[1])",
        "lightgbm",
    ),
    Case(
        "MLflow", "MLflow", "", MLFLOW, "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])", "mlflow"
    ),
)  # fmt: skip
