"""Classifiers of Spark. Source: org.apache.spark.ml.classification."""

from itertools import pairwise

import numpy as np
from reading import matrix, vector
from trees import Trees


def classifier(stage, raw, share=None, decide=None):
    """Add raw predictions, probabilities if there is `share`, and the class, by `decide` or the largest value."""
    thresholds = stage.parameter("thresholds")

    def run(columns):
        values = raw(stage.input(columns))
        stage.add(columns, "rawPredictionCol", values)
        shares = share(values) if share else values
        if share:
            stage.add(columns, "probabilityCol", shares)
        if decide:
            chosen = decide(values)
        elif thresholds:
            chosen = largest(shares, np.array(thresholds))
        else:
            chosen = values.argmax(axis=1)
        stage.add(columns, "predictionCol", chosen.astype(float))

    return run


def largest(shares, thresholds):
    """The class whose probability exceeds its threshold most. A class with threshold 0 wins unless it has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = shares / thresholds
    return np.where(np.isnan(scaled), -np.inf, scaled).argmax(axis=1)


def normalized(values):
    total = values.sum(axis=1, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total != 0)


def softmax(values):
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(values):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-values))


def both(margins):
    """The raw predictions of two classes."""
    return np.stack([-margins, margins], axis=1)


def logistic(stage):
    row = stage.row()
    weights, intercepts = matrix(row["coefficientMatrix"]), vector(row["interceptVector"])
    if row["isMultinomial"]:
        return classifier(stage, lambda vectors: vectors @ weights.T + intercepts, softmax)
    limit = raw_threshold(stage)
    return classifier(
        stage,
        lambda vectors: both(vectors @ weights[0] + intercepts[0]),
        sigmoid,
        lambda values: values[:, 1] > limit,
    )


def raw_threshold(stage):
    """The threshold of two classes, as a margin."""
    if stage.has("thresholds"):
        first, second = stage.parameter("thresholds")
        share = 1 / (1 + first / second)
    else:
        share = stage.number("threshold")
    with np.errstate(divide="ignore"):
        return float(np.log(share) - np.log1p(-share))


def support_vectors(stage):
    row = stage.row()
    weights, intercept, limit = vector(row["coefficients"]), row["intercept"], stage.number("threshold")
    return classifier(
        stage, lambda vectors: both(vectors @ weights + intercept), decide=lambda values: values[:, 1] > limit
    )


def tree(stage):
    trees = Trees(stage)
    return classifier(stage, lambda vectors: trees.counts[trees.leaves(vectors)[:, 0]], normalized)


def forest(stage):
    trees = Trees(stage)
    shares = normalized(trees.counts)
    return classifier(stage, lambda vectors: shares[trees.leaves(vectors)].sum(axis=1), normalized)


def boosted(stage):
    trees = Trees(stage)
    weights = tree_weights(stage)
    return classifier(
        stage,
        lambda vectors: both(trees.prediction[trees.leaves(vectors)] @ weights),
        lambda values: sigmoid(2 * values),
    )


def tree_weights(stage):
    return np.array([row["weights"] for row in sorted(stage.rows("treesMetadata"), key=lambda row: row["treeID"])])


def bayes(stage):
    row = stage.row()
    kind = stage.parameter("modelType")
    prior, theta = vector(row["pi"]), matrix(row["theta"])
    variance = matrix(row["sigma"]) if kind == "gaussian" else None

    def raw(vectors):
        if kind == "gaussian":
            distance = ((vectors[:, None, :] - theta) ** 2 / variance).sum(axis=2)
            return prior - (distance + np.log(variance).sum(axis=1)) / 2
        if kind == "bernoulli":
            absent = np.log1p(-np.exp(theta))
            return prior + vectors @ (theta - absent).T + absent.sum(axis=1)
        if kind == "complement":
            values = vectors @ theta.T
            return values - np.log(np.exp(values).sum(axis=1, keepdims=True))
        return prior + vectors @ theta.T

    return classifier(stage, raw, softmax)


def network(stage):
    weights, sizes = vector(stage.row()["weights"]), stage.parameter("layers")
    layers = []
    for before, after in pairwise(sizes):
        layers.append((weights[: before * after].reshape(before, after), weights[before * after :][:after]))
        weights = weights[before * after + after :]

    def raw(vectors):
        for index, (matrix_, bias) in enumerate(layers):
            vectors = vectors @ matrix_ + bias
            vectors = vectors if index == len(layers) - 1 else sigmoid(vectors)
        return vectors

    return classifier(stage, raw, softmax)


def old_linear(stage):
    """For spark.mllib: the class of two if the threshold is set, else the probability or the margin."""
    row, logistic_ = stage.row(), stage.name == "mllib.LogisticRegressionModel"
    if stage.metadata.get("numClasses", 2) != 2:
        raise ValueError(f"a {stage.name} with more than two classes cannot be computed without Spark")
    weights = vector(row["weights"])

    def run(columns):
        values = stage.input(columns) @ weights + row["intercept"]
        values = sigmoid(values) if logistic_ else values
        decided = values if row["threshold"] is None else (values > row["threshold"]).astype(float)
        stage.add(columns, "predictionCol", decided, "prediction")

    return run


STAGES = {
    "LogisticRegressionModel": logistic,
    "LinearSVCModel": support_vectors,
    "DecisionTreeClassificationModel": tree,
    "RandomForestClassificationModel": forest,
    "GBTClassificationModel": boosted,
    "NaiveBayesModel": bayes,
    "MultilayerPerceptronClassificationModel": network,
    "mllib.LogisticRegressionModel": old_linear,
    "mllib.SVMModel": old_linear,
}
