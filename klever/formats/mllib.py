"""Spark MLlib: the columns that a saved model or pipeline reads and adds.

spark.ml names its columns in its parameters. Models of spark.mllib (metadata version 1.0,
mllib/util/modelSaveLoad.scala) have no columns.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats.classes import numbered
from klever.formats.details import Details
from klever.formats.signature import Signature, Tensor
from klever.formats.spark import Stage, read_stages
from klever.formats.spark_columns import reads, writes

__all__ = ["read_signature"]

_OLD: Final = "org.apache.spark.mllib."


def read_signature(model: Path) -> Signature:
    """Read the signature: inputs are the columns that no stage adds, outputs those that the last stage adds."""
    try:
        stages = list(read_stages(model))
        if not stages:
            raise InvalidError("the pipeline has no stages")
        return _old(stages[0]) if stages[0].name.startswith(_OLD) else _signature(stages)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InvalidError(f"invalid Spark metadata: {type(error).__name__} {str(error)[:100]}") from error


def _signature(stages: list[Stage]) -> Signature:
    inputs: dict[str, Tensor] = {}
    made: set[str] = set()
    for stage in stages:
        inputs.update((tensor.name, tensor) for tensor in reads(stage) if tensor.name not in {*made, *inputs})
        made.update(tensor.name for tensor in writes(stage))
    last = stages[-1]
    details = Details(
        format_version="spark.ml",
        producer=f"spark {last.metadata.get('sparkVersion', '')}".strip(),
        classes=numbered(last.classes() or 0),
    )
    layers = Counter(stage.short for stage in stages)
    return Signature(tuple(inputs.values()), tuple(writes(last)), dict(sorted(layers.items())), details)


def _old(model: Stage) -> Signature:
    """Return the signature of a model of spark.mllib, whose `predict` takes vectors."""
    details = Details(format_version=f"spark.mllib {model.metadata.get('version', '')}".strip(), producer="spark")
    vector = Tensor("features", (-1, model.features()), "float64")
    kind = "int32" if model.name.startswith(f"{_OLD}clustering.") else "float64"
    return Signature((vector,), (Tensor("prediction", (-1,), kind),), {f"mllib.{model.short}": 1}, details)
