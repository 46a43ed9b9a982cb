"""The stages of a saved Spark MLlib model: their metadata, and the sizes in the footers of their Parquet files.

Source: Spark's mllib/src/main/scala/org/apache/spark/ml/util/ReadWrite.scala (`DefaultParamsWriter`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from klever.errors import InvalidError
from klever.formats.files import entries, only_match
from klever.formats.parquet import Column, ParquetError, read_columns
from klever.formats.signature import Tensor

__all__ = ["Stage", "read_stages"]

_MAX_METADATA: Final = 4 << 20
_MAX_STAGES: Final = 1000
_MAX_DEPTH: Final = 8
_LIMIT: Final = 64 << 30
_CLUSTERING: Final = "org.apache.spark.ml.clustering."
"""Its predictions are numbers of clusters."""
_NAMESPACE: Final = "org.apache.spark."
_INPUTS: Final = ("inputCol", "featuresCol", "userCol", "itemCol")
_OUTPUTS: Final = ("predictionCol", "probabilityCol", "rawPredictionCol", "topicDistributionCol", "outputCol")
_VECTORS: Final = ("probabilityCol", "rawPredictionCol", "topicDistributionCol")
_TEXTS: Final = ("StringIndexerModel", "Tokenizer", "RegexTokenizer")
"""Classes that take text."""
_NUMBERS: Final = ("Binarizer", "Bucketizer", "ImputerModel", "OneHotEncoderModel", "VectorAssembler")
"""Classes that take numbers; what is neither takes vectors."""
_PER_FEATURE: Final = ("coefficients", "clusterCenter", "std", "mean", "originalMax")
"""Vectors in the data that have a value for each feature."""
_DENSE: Final = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """One model or transformer."""

    metadata: dict[str, Any]
    columns: list[Column]

    @property
    def name(self) -> str:
        return str(self.metadata["class"])

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]

    def parameter(self, name: str) -> Any:
        """Return a parameter, or its default."""
        chosen, defaults = self.metadata.get("paramMap") or {}, self.metadata.get("defaultParamMap") or {}
        return chosen.get(name, defaults.get(name))

    def count(self, name: str) -> int | None:
        """Return a number that the metadata or the data state."""
        found = self.metadata.get(name)
        if type(found) is int:
            return found
        return next((column.constant for column in self.columns if column.path == (name,)), None)

    def features(self) -> int:
        """Return how many features it takes; -1 if the files do not say so."""
        found = self.count("numFeatures")
        dense = {
            column.path[0] for column in self.columns if column.path[1:] == ("type",) and column.constant == _DENSE
        }
        for column in self.columns:
            if found is None and column.path[0] in dense.intersection(_PER_FEATURE) and column.path[1:2] == ("values",):
                found = column.values // max(1, column.rows)
        return -1 if found is None else found

    def reads(self) -> Iterator[Tensor]:
        """Yield the columns that it takes."""
        several = self.parameter("inputCols")
        for name in several if isinstance(several, list) else ():
            yield self._input(str(name))
        for parameter in _INPUTS:
            if self.parameter(parameter):
                yield self._input(str(self.parameter(parameter)))

    def writes(self) -> Iterator[Tensor]:
        """Yield the columns that it adds."""
        several = self.parameter("outputCols")
        for name in several if isinstance(several, list) else ():
            yield Tensor(str(name), None, "float64")
        for parameter in _OUTPUTS:
            name = self.parameter(parameter)
            if name and not (parameter == "outputCol" and several):
                yield Tensor(str(name), self._size(parameter), self._type(parameter))

    def _input(self, name: str) -> Tensor:
        if self.short in _TEXTS:
            return Tensor(name, (-1,), "string")
        return Tensor(name, (-1,) if self.short in _NUMBERS else (-1, self.features()), "float64")

    def _type(self, parameter: str) -> str:
        return "int32" if parameter == "predictionCol" and self.name.startswith(_CLUSTERING) else "float64"

    def _size(self, parameter: str) -> tuple[int, ...] | None:
        if parameter in _VECTORS:
            return (-1, self.count("numClasses") or -1)
        if parameter == "predictionCol":
            return (-1,)
        return (-1, self.features()) if self.short == "StandardScalerModel" else None


def read_stages(directory: Path, depth: int = 0) -> Iterator[Stage]:
    """Yield a model, or the stages of a pipeline, those of pipelines within it too."""
    stage = _stage(directory)
    inner = directory / "stages"
    if stage.parameter("stageUids") is None or inner.is_symlink() or not inner.is_dir():
        yield stage
        return
    found = sorted((path for path in entries(inner) if path.is_dir() and not path.is_symlink()), key=_number)
    if depth > _MAX_DEPTH or len(found) > _MAX_STAGES:
        raise InvalidError(f"the pipeline has {len(found)} stages, {depth} levels deep: too many")
    for path in found:
        yield from read_stages(path, depth + 1)


def _number(stage: Path) -> tuple[int, str]:
    """Return the place of a stage, which is in its name: `0_StringIndexer_22233879f471`."""
    number = stage.name.partition("_")[0]
    return (int(number) if number.isdecimal() and len(number) < 10 else 0, stage.name)


def _stage(directory: Path) -> Stage:
    if any((directory / name).is_symlink() for name in ("metadata", "data")):
        raise InvalidError(f"metadata and data in {directory.name} must not be links", reason="UNSAFE_PATH")
    path = only_match(directory / "metadata", "part-*", _MAX_METADATA)
    metadata = json.loads(path.read_bytes())
    if not isinstance(metadata, dict) or not str(metadata["class"]).startswith(_NAMESPACE):
        raise InvalidError(f"{path.name} names the class {str(metadata['class'])[:80]!r}, which is not Spark's")
    return Stage(metadata, list(_columns(directory / "data")))


def _columns(data: Path) -> Iterator[Column]:
    """Yield the columns of the first part; none if the data is missing, or is not Parquet that can be read."""
    parts = [path for path in entries(data) if path.name.endswith(".parquet")] if data.is_dir() else []
    if parts:
        path = only_match(data, parts[0].name, _LIMIT)
        try:
            yield from read_columns(path)
        except ParquetError as error:
            raise InvalidError(f"{path.name} cannot be read: {error}; copy it again") from error
