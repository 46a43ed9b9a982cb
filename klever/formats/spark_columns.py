"""The columns that a stage of Spark MLlib reads and adds, from its parameters.

Source: the traits in Spark's mllib/src/main/scala/org/apache/spark/ml/param/shared/sharedParams.scala.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from klever.formats.signature import Tensor
from klever.formats.spark import Stage

__all__ = ["reads", "writes"]

_CLUSTERING: Final = "org.apache.spark.ml.clustering."
"""Classes whose predictions are cluster numbers."""
_INPUTS: Final = ("inputCol", "featuresCol", "userCol", "itemCol")
_OUTPUTS: Final = ("predictionCol", "probabilityCol", "rawPredictionCol", "topicDistributionCol", "outputCol")
_VECTORS: Final = ("probabilityCol", "rawPredictionCol", "topicDistributionCol")
_TEXTS: Final = ("StringIndexerModel", "Tokenizer", "RegexTokenizer")
"""Classes that read text."""
_NUMBERS: Final = ("Binarizer", "Bucketizer", "ImputerModel", "IndexToString", "OneHotEncoderModel", "VectorAssembler")
"""Classes that read numbers. All others read vectors."""
_SCALARS: Final = ("Binarizer", "Bucketizer", "ImputerModel", "IndexToString", "StringIndexerModel")
"""Classes that add a number or a text to each row."""
_SCALERS: Final = (
    *("ElementwiseProduct", "MaxAbsScalerModel", "MinMaxScalerModel", "RobustScalerModel", "StandardScalerModel"),
    "VectorIndexerModel",
)
"""Classes that add a vector of the size of their input."""
_TOKENS: Final = ("NGram", "RegexTokenizer", "StopWordsRemover", "Tokenizer")
"""Classes that add a list of texts, which no tensor can hold."""


def reads(stage: Stage) -> Iterator[Tensor]:
    """Yield the columns that a stage reads."""
    several = stage.parameter("inputCols")
    for name in several if isinstance(several, list) else ():
        yield _input(stage, str(name))
    for parameter in _INPUTS:
        if stage.parameter(parameter):
            yield _input(stage, str(stage.parameter(parameter)))


def writes(stage: Stage) -> Iterator[Tensor]:
    """Yield the columns that a stage adds."""
    several = stage.parameter("outputCols")
    for name in several if isinstance(several, list) else ():
        yield Tensor(str(name), _size(stage, "outputCol"), "float64")
    for parameter in _OUTPUTS:
        name = stage.parameter(parameter)
        if name and not (parameter == "outputCol" and several):
            yield Tensor(str(name), _size(stage, parameter), _type(stage, parameter))


def _input(stage: Stage, name: str) -> Tensor:
    if stage.short in _TEXTS:
        return Tensor(name, (-1,), "string")
    return Tensor(name, (-1,) if stage.short in _NUMBERS else (-1, stage.features()), "float64")


def _type(stage: Stage, parameter: str) -> str:
    if parameter == "predictionCol" and stage.name.startswith(_CLUSTERING):
        return "int32"
    return "string" if parameter == "outputCol" and stage.short in ("IndexToString", *_TOKENS) else "float64"


def _size(stage: Stage, parameter: str) -> tuple[int, ...] | None:
    if parameter in _VECTORS:
        clusters = stage.parameter("k") if stage.name.startswith(_CLUSTERING) else None
        return (-1, clusters if type(clusters) is int else stage.classes() or -1)
    if parameter == "predictionCol" or stage.short in _SCALARS:
        return (-1,)
    if stage.short in _TOKENS:
        return None
    return (-1, stage.features() if stage.short in _SCALERS else -1)
