"""Clusterings of Spark. Source: org.apache.spark.ml.clustering, and MultivariateGaussian.scala."""

import numpy as np
from classification import normalized
from reading import matrix, vector


def k_means(stage):
    key, place = ("id", "point") if stage.old else ("clusterIdx", "clusterCenter")
    rows = sorted(stage.rows(), key=lambda row: row[key])
    centers = np.stack([vector(row[place]) for row in rows])
    cosine = stage.parameter("distanceMeasure") == "cosine"
    if cosine:
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)

    def run(columns):
        # The squared norm of a row is the same for all centers.
        distances = -2 * (stage.input(columns) @ centers.T) + (0 if cosine else (centers**2).sum(axis=1))
        stage.add(columns, "predictionCol", distances.argmin(axis=1).astype(np.int32), "prediction")

    return run


def mixture(stage):
    row = stage.row()
    parts = [
        (weight, *gaussian(vector(mean), matrix(covariance)))
        for weight, mean, covariance in zip(row["weights"], row["mus"], row["sigmas"], strict=True)
    ]
    least = np.finfo(float).eps

    def run(columns):
        vectors = stage.input(columns)
        values = [
            least + weight * np.exp(constant - (((vectors - mean) @ root) ** 2).sum(axis=1) / 2)
            for weight, mean, root, constant in parts
        ]
        shares = normalized(np.stack(values, axis=1))
        stage.add(columns, "probabilityCol", shares)
        stage.add(columns, "predictionCol", shares.argmax(axis=1).astype(np.int32))

    return run


def gaussian(mean, covariance):
    """The mean, the root of the pseudo-inverse of the covariance, and the logarithm of the density at the mean."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > np.finfo(float).eps * values.max() * len(values)
    root = vectors[:, kept] / np.sqrt(values[kept])
    return mean, root, -(len(mean) * np.log(2 * np.pi) + np.log(values[kept]).sum()) / 2


STAGES = {"KMeansModel": k_means, "GaussianMixtureModel": mixture, "mllib.KMeansModel": k_means}
