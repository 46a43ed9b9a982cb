"""Converts an XGBoost model to ONNX with onnxmltools. The output is that of `Booster.predict`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tabular import columns, write
from klever.converters.programs.xgboost_runner import load_model
from klever.converters.programs.xgboost_trees import estimator, read_objective, set_targets, trees

__all__ = ["convert"]

_BINARY: Final = "binary:logistic"


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    booster = load_model(model)
    table = columns(request, booster.num_features())[0]
    booster.feature_names = None  # onnxmltools needs f0, f1, …
    document = trees(booster)
    objective = read_objective(document)
    targets = int(document["learner"]["learner_model_param"]["num_target"])
    converted = _converted(document, [(table.name, FloatTensorType([None, booster.num_features()]))])
    outputs = [value.name for value in converted.graph.output]
    probable = objective in ("multi:softprob", _BINARY)
    chosen = outputs[-1] if probable else outputs[0]
    positive = [chosen] if objective == _BINARY else []
    vectors = [] if probable or targets > 1 else [chosen]
    write(converted, output / "model.onnx", {chosen: "predict"}, positive=positive, vectors=vectors)


def _converted(document: Mapping[str, Any], types: list[Any]) -> Any:
    try:
        converted = convert_xgboost(estimator(document), initial_types=types)
    except (RuntimeError, ValueError, KeyError, NotImplementedError) as error:  # onnxmltools has no error of its own
        raise ConversionError(
            f"onnxmltools cannot convert a model with the objective {read_objective(document)}: {error}. Serve the "
            "model as XGBoost"
        ) from error
    set_targets(converted, document)
    return converted
