"""Writes Spark MLlib models to tests/data/mllib, and what Spark says of their columns.

Run it in an environment with pyspark 3.5.7, numpy 1.26.4 and Java 17: `python hack/models/mllib.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.clustering import KMeans
from pyspark.ml.feature import StandardScaler, StringIndexer, VectorAssembler
from pyspark.ml.regression import GBTRegressor, LinearRegression
from pyspark.mllib.classification import LogisticRegressionWithLBFGS
from pyspark.mllib.regression import LabeledPoint
from pyspark.sql import DataFrame, SparkSession

DATA = Path(__file__).parents[2] / "tests" / "data" / "mllib"
ROWS = [(1.0, 2.0, "a", 0.0), (2.0, 1.0, "b", 1.0), (3.0, 5.0, "a", 2.0), (0.5, 2.5, "b", 1.0)]


def estimators() -> dict[str, Any]:
    """Estimators by name; a session must exist."""
    return {
        "logistic": LogisticRegression(maxIter=2),
        "forest": RandomForestClassifier(numTrees=2, maxDepth=2, seed=1),
        "linear": LinearRegression(maxIter=2),
        "gbt": GBTRegressor(maxIter=2, maxDepth=2),
        "kmeans": KMeans(k=2, seed=1),
    }


def pipeline() -> Pipeline:
    return Pipeline(
        stages=[
            StringIndexer(inputCol="c", outputCol="ci"),
            VectorAssembler(inputCols=["p", "q", "ci"], outputCol="raw"),
            StandardScaler(inputCol="raw", outputCol="features"),
            LogisticRegression(maxIter=2, family="multinomial"),
        ]
    )


def columns(before: DataFrame, after: DataFrame) -> dict[str, Any]:
    """The columns that a model adds: their types, and the length of a vector."""
    row = after.first()
    new = {name: kind for name, kind in after.dtypes if name not in before.columns}
    return {name: [kind, len(row[name]) if kind == "vector" else None] for name, kind in new.items()}


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    local = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.master("local[1]").config(map=local)
    session = builder.getOrCreate()
    shutil.rmtree(DATA, ignore_errors=True)
    frame = session.createDataFrame(ROWS * 3, ["p", "q", "c", "label"])
    vectors = VectorAssembler(inputCols=["p", "q"], outputCol="features").transform(frame)
    wanted: dict[str, Any] = {"version": session.version, "models": {}}
    for name, estimator in estimators().items():
        model = estimator.fit(vectors)
        model.save(str(DATA / name))
        wanted["models"][name] = columns(vectors, model.transform(vectors))
    fitted = pipeline().fit(frame)
    fitted.save(str(DATA / "pipeline"))
    wanted["models"]["pipeline"] = columns(frame, fitted.transform(frame))
    points = session.sparkContext.parallelize([LabeledPoint(0.0, [1.0, 2.0]), LabeledPoint(1.0, [2.0, 1.0])])
    LogisticRegressionWithLBFGS.train(points, iterations=2).save(session.sparkContext, str(DATA / "old"))
    for extra in (*DATA.rglob("*.crc"), *DATA.rglob("_SUCCESS")):
        extra.unlink()
    (DATA / "wanted.json").write_text(json.dumps(wanted, indent=1) + "\n")


if __name__ == "__main__":
    main()
