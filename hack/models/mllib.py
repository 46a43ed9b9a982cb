"""Writes Spark MLlib models to tests/data/mllib, what Spark says of their columns, and what it answers.

Run it in an environment with pyspark 3.5.7, numpy 1.26.4 and Java 17: `python hack/models/mllib.py`. Columns are in
`wanted.json`; `answers.json` has the columns that each model was given, and those that it added.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pyspark.ml import Pipeline, classification, clustering, feature, regression
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.functions import vector_to_array
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.mllib.classification import LogisticRegressionWithLBFGS, SVMWithSGD
from pyspark.mllib.clustering import KMeans as OldKMeans
from pyspark.mllib.regression import LabeledPoint, LinearRegressionWithSGD
from pyspark.sql import DataFrame, SparkSession

DATA = Path(__file__).parents[2] / "tests" / "data" / "mllib"
COLUMNS = ["p", "q", "c", "label", "sign"]
ROWS = [
    *((1.0, 2.0, "a", 0.0, 0.0), (2.0, 1.0, "b", 1.0, 1.0), (3.0, 5.0, "a", 2.0, 1.0), (0.5, 2.5, "b", 1.0, 0.0)),
    *((4.0, 0.0, "c", 2.0, 1.0), (0.0, 0.0, "c", 0.0, 0.0), (2.5, 3.5, "a", 1.0, 0.0), (1.5, 4.0, "d", 0.0, 1.0)),
]


def estimators() -> dict[str, Any]:
    """Estimators of the vectors `features`, by name; a session must exist."""
    return {
        "logistic": classification.LogisticRegression(maxIter=2),
        "logistic_binary": classification.LogisticRegression(maxIter=5, labelCol="sign", threshold=0.3),
        "logistic_thresholds": classification.LogisticRegression(maxIter=5, thresholds=[0.1, 0.6, 0.3]),
        "svc": classification.LinearSVC(maxIter=5, labelCol="sign", threshold=0.1),
        "tree": classification.DecisionTreeClassifier(maxDepth=3),
        "forest": classification.RandomForestClassifier(numTrees=3, maxDepth=2, seed=1),
        "gbt_classifier": classification.GBTClassifier(maxIter=3, maxDepth=2, labelCol="sign", seed=1),
        "bayes": classification.NaiveBayes(),
        "bayes_bernoulli": classification.NaiveBayes(modelType="bernoulli", featuresCol="bits"),
        "bayes_complement": classification.NaiveBayes(modelType="complement"),
        "bayes_gaussian": classification.NaiveBayes(modelType="gaussian"),
        "network": classification.MultilayerPerceptronClassifier(layers=[2, 4, 3], maxIter=5, seed=1),
        "linear": regression.LinearRegression(maxIter=2),
        "poisson": regression.GeneralizedLinearRegression(family="poisson", maxIter=5),
        "tweedie": regression.GeneralizedLinearRegression(
            family="tweedie", variancePower=1.2, linkPower=0.5, maxIter=2, labelCol="p"
        ),
        "tree_regressor": regression.DecisionTreeRegressor(maxDepth=2),
        "forest_regressor": regression.RandomForestRegressor(numTrees=3, maxDepth=2, seed=1),
        "gbt": regression.GBTRegressor(maxIter=2, maxDepth=2),
        "kmeans": clustering.KMeans(k=2, seed=1),
        "kmeans_cosine": clustering.KMeans(k=2, seed=1, distanceMeasure="cosine", featuresCol="positive"),
        "mixture": clustering.GaussianMixture(k=2, seed=1),
    }


def pipelines() -> dict[str, list[Any]]:
    """Stages over the columns `p`, `q` and `c`, by name."""
    indexer = feature.StringIndexer(inputCol="c", outputCol="ci", handleInvalid="keep")
    return {
        "pipeline": [
            feature.StringIndexer(inputCol="c", outputCol="ci"),
            feature.VectorAssembler(inputCols=["p", "q", "ci"], outputCol="raw"),
            feature.StandardScaler(inputCol="raw", outputCol="features"),
            classification.LogisticRegression(maxIter=2, family="multinomial"),
        ],
        "pipeline_categories": [
            indexer,
            feature.VectorAssembler(inputCols=["ci", "p"], outputCol="features"),
            classification.RandomForestClassifier(numTrees=4, maxDepth=3, seed=1),
        ],
        "pipeline_encoder": [
            feature.StringIndexer(inputCols=["c"], outputCols=["ci"], handleInvalid="keep"),
            feature.OneHotEncoder(inputCols=["ci"], outputCols=["cv"], handleInvalid="keep"),
            feature.Bucketizer(splits=[float("-inf"), 1.0, 2.5, float("inf")], inputCol="p", outputCol="pb"),
            feature.Binarizer(threshold=2.2, inputCol="q", outputCol="qb"),
            feature.Imputer(inputCols=["q"], outputCols=["qi"], missingValue=0.0),
            feature.VectorAssembler(inputCols=["cv", "pb", "qb", "qi"], outputCol="features"),
            regression.LinearRegression(regParam=0.1),
        ],
        "pipeline_scalers": [
            feature.VectorAssembler(inputCols=["p", "q"], outputCol="v"),
            feature.StandardScaler(withMean=True, inputCol="v", outputCol="v1"),
            feature.MinMaxScaler(min=-1.0, max=2.0, inputCol="v1", outputCol="v2"),
            feature.MaxAbsScaler(inputCol="v2", outputCol="v3"),
            feature.RobustScaler(withCentering=True, inputCol="v3", outputCol="v4"),
            feature.PCA(k=2, inputCol="v4", outputCol="v5"),
            feature.Normalizer(p=1.0, inputCol="v5", outputCol="v6"),
            clustering.KMeans(k=3, seed=1, featuresCol="v6"),
        ],
        "pipeline_labels": [
            feature.VectorAssembler(inputCols=["p", "q"], outputCol="features"),
            classification.DecisionTreeClassifier(maxDepth=3),
            feature.IndexToString(inputCol="prediction", outputCol="name", labels=["low", "middle", "high"]),
        ],
    }


def plain(frame: DataFrame) -> dict[str, Any]:
    """The values of columns, with vectors as lists."""
    kinds = dict(frame.dtypes)
    arrays = frame.select(
        *(vector_to_array(name).alias(name) if kind == "vector" else name for name, kind in kinds.items())
    )
    rows = arrays.collect()
    return {name: [row[name] for row in rows] for name in kinds}


def columns(before: DataFrame, after: DataFrame) -> dict[str, Any]:
    """The columns that a model adds: their types, and the length of a vector."""
    row = after.first()
    new = {name: kind for name, kind in after.dtypes if name not in before.columns}
    return {name: [kind, len(row[name]) if kind == "vector" else None] for name, kind in new.items()}


class Writer:
    """Writes models, and collects what Spark answers."""

    def __init__(self, session: SparkSession) -> None:
        self.session = session
        self.wanted: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}

    def write(self, name: str, model: Any, frame: DataFrame) -> None:
        model.save(str(DATA / name))
        after = model.transform(frame)
        self.wanted[name] = columns(frame, after)
        self.answers[name] = {"inputs": plain(frame), "outputs": plain(after.drop(*frame.columns))}

    def write_old(self, name: str, model: Any) -> None:
        """Write a model of spark.mllib, which takes one vector."""
        model.save(self.session.sparkContext, str(DATA / name))
        answers = [float(model.predict([row[0], row[1]])) for row in ROWS]
        self.answers[name] = {
            "inputs": {"features": [row[:2] for row in ROWS]},
            "outputs": {"prediction": answers},
        }


def vectors(frame: DataFrame) -> DataFrame:
    """Add vectors: `features`, `bits` of 0 and 1, and `positive` without a zero vector."""
    with_features = feature.VectorAssembler(inputCols=["p", "q"], outputCol="features").transform(frame)
    derived = ("double(p > 1) AS p1", "double(q > 2) AS q1", "p + 0.5 AS p2", "q + 0.1 AS q2")
    numbers = with_features.selectExpr("*", *derived)
    bits = feature.VectorAssembler(inputCols=["p1", "q1"], outputCol="bits").transform(numbers)
    return feature.VectorAssembler(inputCols=["p2", "q2"], outputCol="positive").transform(bits)


def search(frame: DataFrame) -> Any:
    linear = regression.LinearRegression()
    grid = ParamGridBuilder().addGrid(linear.regParam, [0.0, 0.5]).build()
    return CrossValidator(
        estimator=linear, estimatorParamMaps=grid, evaluator=RegressionEvaluator(), numFolds=2, seed=1
    ).fit(frame)


def write_case(name: str, answers: dict[str, Any]) -> None:
    """Write a case for tests/e2e/test_formats.py."""

    def tensor(name: str, values: list[Any]) -> dict[str, Any]:
        text, shape = isinstance(values[0], str), [len(values)]
        if isinstance(values[0], list):
            shape, values = [*shape, len(values[0])], [value for row in values for value in row]
        return {"name": name, "datatype": "BYTES" if text else "FP64", "shape": shape, "data": values}

    to = DATA.parent / "serving" / "mllib"
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(DATA / name, to / "model")
    added = {column: answers["outputs"][column] for column in ("prediction", "probability", "rawPrediction")}
    used = {column: answers["inputs"][column] for column in ("c", "p")}
    tensors = {"inputs": list(map(tensor, used, used.values())), "outputs": list(map(tensor, added, added.values()))}
    (to / "case.json").write_text(json.dumps(tensors, indent=1) + "\n")


def write_all(session: SparkSession) -> None:
    writer = Writer(session)
    frame = session.createDataFrame(ROWS, COLUMNS).coalesce(1)
    prepared = vectors(frame)
    for name, estimator in estimators().items():
        used = estimator.getOrDefault("featuresCol")
        given = prepared.select(used)
        writer.write(name, estimator.fit(prepared), given)
    for name, stages in pipelines().items():
        used = ["p", "q"] if name in {"pipeline_scalers", "pipeline_labels"} else ["p", "q", "c"]
        writer.write(name, Pipeline(stages=stages).fit(frame), frame.select(*used))
    writer.write("search", search(prepared), prepared.select("features"))
    points = session.sparkContext.parallelize([LabeledPoint(row[4], row[:2]) for row in ROWS])
    writer.write_old("old", LogisticRegressionWithLBFGS.train(points, iterations=2))
    writer.write_old("old_linear", LinearRegressionWithSGD.train(points, iterations=2, intercept=True))
    writer.write_old("old_svm", SVMWithSGD.train(points, iterations=2))
    writer.write_old("old_kmeans", OldKMeans.train(points.map(lambda point: point.features), 2, seed=1))
    write_case("pipeline_categories", writer.answers["pipeline_categories"])
    wanted = {"version": session.version, "models": writer.wanted}
    (DATA / "wanted.json").write_text(json.dumps(wanted, indent=1) + "\n")
    (DATA / "answers.json").write_text(json.dumps(writer.answers) + "\n")


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    local = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    session = SparkSession.builder.master("local[1]").config(map=local).getOrCreate()
    shutil.rmtree(DATA, ignore_errors=True)
    write_all(session)
    for extra in (*DATA.rglob("*.crc"), *DATA.rglob("_SUCCESS")):
        extra.unlink()


if __name__ == "__main__":
    main()
