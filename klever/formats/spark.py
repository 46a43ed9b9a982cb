"""Reads the stages of a saved Spark MLlib model: their metadata, and the sizes in their Parquet footers.

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

__all__ = ["Stage", "read_stages"]

_MAX_METADATA: Final = 4 << 20
_MAX_STAGES: Final = 1000
_MAX_DEPTH: Final = 8
_LIMIT: Final = 64 << 30
_NAMESPACE: Final = "org.apache.spark."
_SEARCHES: Final = ("CrossValidatorModel", "TrainValidationSplitModel")
"""Classes that keep the best of several models."""
_PER_FEATURE: Final = (
    *("coefficients", "clusterCenter", "point", "std", "mean", "originalMax", "maxAbs", "median"),
    *("scalingVec", "weights"),
)
"""Vectors in the data with a value per feature."""
_MATRICES: Final = (("theta", "numCols"), ("pc", "numRows"), ("sigmas", "list", "element", "numCols"))
"""Columns with numbers of features, in the sizes of matrices."""
_BINARY: Final = ("GBTClassificationModel", "LinearSVCModel")
"""Classifiers of two classes."""
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
        """Return a number from the metadata or the data."""
        found = self.metadata.get(name)
        return found if type(found) is int else self._constant((name,))

    def classes(self) -> int | None:
        """Return the number of classes of a classifier."""
        found = self.count("numClasses") or self._constant(("theta", "numRows"))
        return found or (2 if self.short in _BINARY else self._layers()[-1])

    def features(self) -> int:
        """Return the number of features; -1 if the files do not have it."""
        stated = self.count("numFeatures"), self._layers()[0], *map(self._constant, _MATRICES)
        found = next((number for number in stated if number is not None), None)
        return self._vector() if found is None else found

    def _constant(self, path: tuple[str, ...]) -> int | None:
        return next((column.constant for column in self.columns if column.path == path), None)

    def _vector(self) -> int:
        """Return the size of a dense vector with a value per feature; -1 if there is none."""
        dense = {
            column.path[0] for column in self.columns if column.path[1:] == ("type",) and column.constant == _DENSE
        }
        for column in self.columns:
            if column.path[0] in dense.intersection(_PER_FEATURE) and column.path[1:2] == ("values",):
                return column.values // max(1, column.rows)
        return -1

    def _layers(self) -> tuple[int | None, int | None]:
        """Return the sizes of the first and the last layer of a network."""
        sizes = self.parameter("layers")
        if isinstance(sizes, list) and sizes and all(type(size) is int for size in sizes):
            return sizes[0], sizes[-1]
        return None, None


def read_stages(directory: Path, depth: int = 0) -> Iterator[Stage]:
    """Yield a model, the stages of a pipeline and of nested pipelines, or the best model of a search."""
    stage = _stage(directory)
    if depth > _MAX_DEPTH:
        raise InvalidError(f"models must be nested at most {_MAX_DEPTH} levels deep")
    if stage.short in _SEARCHES and not (directory / "bestModel").is_symlink():
        yield from read_stages(directory / "bestModel", depth + 1)
        return
    inner = directory / "stages"
    if stage.parameter("stageUids") is None or inner.is_symlink() or not inner.is_dir():
        yield stage
        return
    found = sorted((path for path in entries(inner) if path.is_dir() and not path.is_symlink()), key=_number)
    if len(found) > _MAX_STAGES:
        raise InvalidError(f"the pipeline must have at most {_MAX_STAGES} stages, not {len(found)}")
    for path in found:
        yield from read_stages(path, depth + 1)


def _number(stage: Path) -> tuple[int, str]:
    """Return the position of a stage from its name: `0_StringIndexer_22233879f471`."""
    number = stage.name.partition("_")[0]
    return (int(number) if number.isdecimal() and len(number) < 10 else 0, stage.name)


def _stage(directory: Path) -> Stage:
    if any((directory / name).is_symlink() for name in ("metadata", "data")):
        raise InvalidError(f"metadata and data in {directory.name} must not be links", reason="UNSAFE_PATH")
    path = only_match(directory / "metadata", "part-*", _MAX_METADATA)
    metadata = json.loads(path.read_bytes())
    if not isinstance(metadata, dict) or not str(metadata["class"]).startswith(_NAMESPACE):
        raise InvalidError(
            f"{path.name} names the class {str(metadata['class'])[:80]!r}, which is not a class of Spark"
        )
    return Stage(metadata, list(_columns(directory / "data")))


def _columns(data: Path) -> Iterator[Column]:
    """Yield the columns of the first part; none if the data is missing or is not readable Parquet."""
    parts = [path for path in entries(data) if path.name.endswith(".parquet")] if data.is_dir() else []
    if parts:
        path = only_match(data, parts[0].name, _LIMIT)
        try:
            yield from read_columns(path)
        except ParquetError as error:
            raise InvalidError(f"cannot read {path.name}: {error}; copy it again") from error
