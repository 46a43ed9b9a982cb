"""Regressions of Spark. Source: org.apache.spark.ml.regression."""

import math

import numpy as np
from classification import sigmoid, tree_weights
from reading import vector
from trees import Trees

LEAST = 1e-16
CANONICAL = {"gaussian": "identity", "binomial": "logit", "poisson": "log", "gamma": "inverse"}
INVERSES = {
    "identity": lambda eta: eta,
    "log": np.exp,
    "inverse": lambda eta: 1 / eta,
    "logit": sigmoid,
    "probit": np.vectorize(lambda eta: math.erfc(-eta / math.sqrt(2)) / 2, otypes=[float]),
    "cloglog": lambda eta: 1 - np.exp(-np.exp(eta)),
    "sqrt": lambda eta: eta**2,
}
"""Link -> the mean of a linear prediction."""


def regression(stage, predict):
    def run(columns):
        stage.add(columns, "predictionCol", predict(stage.input(columns)), "prediction")

    return run


def linear(stage):
    row = stage.row()
    weights, intercept = vector(row["weights" if stage.old else "coefficients"]), row["intercept"]
    return regression(stage, lambda vectors: vectors @ weights + intercept)


def generalized(stage):
    for column in ("offsetCol", "linkPredictionCol"):
        if stage.parameter(column):
            raise ValueError(f"the parameter {column} cannot be computed without Spark")
    row = stage.row()
    weights, intercept, mean = vector(row["coefficients"]), row["intercept"], mean_function(stage)
    return regression(stage, lambda vectors: mean(vectors @ weights + intercept))


def mean_function(stage):
    family = (stage.parameter("family") or "gaussian").lower()
    if family == "tweedie":
        power = float(stage.parameter("linkPower") if stage.has("linkPower") else 1 - stage.number("variancePower"))
        inverse = np.exp if power == 0 else lambda eta: eta ** (1 / power)
    else:
        inverse = INVERSES[(stage.parameter("link") or CANONICAL[family]).lower()]
    if family == "gaussian":
        return inverse
    greatest = 1 - LEAST if family == "binomial" else np.finfo(float).max
    return lambda eta: np.clip(inverse(eta), LEAST, greatest)


def tree(stage):
    trees = Trees(stage)
    return regression(stage, lambda vectors: trees.prediction[trees.leaves(vectors)[:, 0]])


def forest(stage):
    trees = Trees(stage)
    return regression(stage, lambda vectors: trees.prediction[trees.leaves(vectors)].mean(axis=1))


def boosted(stage):
    trees, weights = Trees(stage), tree_weights(stage)
    return regression(stage, lambda vectors: trees.prediction[trees.leaves(vectors)] @ weights)


STAGES = {
    "LinearRegressionModel": linear,
    "GeneralizedLinearRegressionModel": generalized,
    "DecisionTreeRegressionModel": tree,
    "RandomForestRegressionModel": forest,
    "GBTRegressionModel": boosted,
    "mllib.LinearRegressionModel": linear,
    "mllib.LassoModel": linear,
    "mllib.RidgeRegressionModel": linear,
}
