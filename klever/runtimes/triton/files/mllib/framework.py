"""Computes a model of Spark MLlib with numpy from Spark's files, without Spark."""

import classification
import clustering
import features
import numpy as np
import regression
from reading import read_stages

STAGES = {**features.STAGES, **classification.STAGES, **regression.STAGES, **clustering.STAGES}
"""Class -> a function that makes a stage from its files: a function that adds its columns to those of the rows."""
BLOCK = 8192
"""How many rows are computed at a time, because some stages need memory per row and tree, center or class."""


def arrange(arrays):
    """The columns by name."""
    return arrays


def load(directory):
    """Return the function that adds the model's columns to those of the inputs. It takes row by row."""
    stages = [make(stage) for stage in read_stages(directory / "model")]

    def transform(arrays):
        count = len(next(iter(arrays.values())))
        blocks = [run(arrays, slice(start, start + BLOCK)) for start in range(0, count or 1, BLOCK)]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def run(arrays, rows):
        columns = {name: array[rows] for name, array in arrays.items()}
        for stage in stages:
            stage(columns)
        return columns

    return {"transform": transform}, True


def make(stage):
    if stage.name not in STAGES:
        raise ValueError(f"the stage {stage.name} cannot be computed without Spark")
    return STAGES[stage.name](stage)
