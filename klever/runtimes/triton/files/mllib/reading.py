"""Reads Spark's files: the metadata of stages in JSON, and their data in Parquet.

Sources: ReadWrite.scala of spark.ml (`DefaultParamsWriter`), VectorUDT.scala and MatrixUDT.scala of spark.mllib-local.
"""

import json

import numpy as np
import pyarrow.parquet

OLD = "org.apache.spark.mllib."
SEARCHES = ("CrossValidatorModel", "TrainValidationSplitModel")


class Stage:
    """A model or transformer. Models of spark.mllib have names that begin with `mllib.`."""

    def __init__(self, directory):
        self.directory = directory
        (part,) = (directory / "metadata").glob("part-*")
        self.metadata = json.loads(part.read_bytes())
        self.old = self.metadata["class"].startswith(OLD)
        self.name = "mllib." * self.old + self.metadata["class"].rpartition(".")[2]

    def has(self, name):
        """Whether a parameter has been chosen, and is not a default."""
        return name in self.metadata.get("paramMap", {})

    def parameter(self, name):
        """A parameter, or its default; None if there is neither."""
        chosen, defaults = self.metadata.get("paramMap", {}), self.metadata.get("defaultParamMap", {})
        return chosen.get(name, defaults.get(name))

    def number(self, name):
        """A parameter as a number, because Spark writes infinity and NaN as text."""
        return float(self.parameter(name))

    def rows(self, name="data"):
        """The rows of a directory, as dictionaries."""
        parts = sorted((self.directory / name).glob("*.parquet"))
        return [row for part in parts for row in pyarrow.parquet.ParquetFile(part).read().to_pylist()]

    def row(self):
        """The only row of the data."""
        (row,) = self.rows()
        return row

    def columns(self, singular, plural):
        """The names of columns in a parameter, which is one name or a list of them."""
        return self.parameter(plural) or [self.parameter(singular)]

    def input(self, columns):
        """The input vectors, one per row."""
        vectors = columns[self.parameter("featuresCol") or "features"]
        if vectors.ndim != 2:
            raise ValueError(f"the features of a row must be a vector, not of shape {vectors.shape[1:]}")
        return vectors

    def add(self, columns, parameter, values, default=None):
        """Add a column with the name from a parameter. An empty name omits it."""
        name = self.parameter(parameter) or default
        if name:
            columns[name] = values


def read_stages(directory):
    """Yield a model, the stages of a pipeline and of nested pipelines, or the best model of a search."""
    stage = Stage(directory)
    if stage.name in SEARCHES:
        yield from read_stages(directory / "bestModel")
    elif stage.name == "PipelineModel":
        for path in sorted((directory / "stages").iterdir(), key=lambda path: int(path.name.partition("_")[0])):
            yield from read_stages(path)
    else:
        yield stage


def vector(value):
    """A vector, dense or sparse."""
    if value["type"] == 1:
        return np.array(value["values"], float)
    dense = np.zeros(value["size"])
    dense[value["indices"]] = value["values"]
    return dense


def matrix(value):
    """A matrix, dense or sparse, by columns or by rows."""
    shape = (value["numRows"], value["numCols"])
    shape = shape[::-1] if value["isTransposed"] else shape
    if value["type"] == 1:
        dense = np.array(value["values"], float).reshape(shape, order="F")
    else:
        dense = np.zeros(shape)
        for column, (start, end) in enumerate(zip(value["colPtrs"], value["colPtrs"][1:], strict=False)):
            dense[value["rowIndices"][start:end], column] = value["values"][start:end]
    return dense.T if value["isTransposed"] else dense
