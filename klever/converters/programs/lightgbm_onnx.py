"""Converts a LightGBM model to ONNX with onnxmltools. The output is that of `Booster.predict`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.lightgbm_runner import load_model
from klever.converters.programs.tabular import columns, write

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    booster = load_model(model)
    table = columns(request, booster.num_feature())[0]
    objective = booster.dump_model(num_iteration=1).get("objective", "")
    types = [(table.name, FloatTensorType([None, booster.num_feature()]))]
    try:
        converted = convert_lightgbm(booster, initial_types=types, zipmap=False)
    except (RuntimeError, ValueError, KeyError, NotImplementedError) as error:
        raise ConversionError(f"onnxmltools cannot convert a model with the objective {objective}: {error}") from error
    names = [value.name for value in converted.graph.output]
    binary = objective.startswith("binary")
    chosen = names[-1] if binary or objective.startswith("multiclass") else names[0]
    positive, vectors = ([chosen], []) if binary else ([], [] if objective.startswith("multiclass") else [chosen])
    write(converted, output / "model.onnx", {chosen: "predict"}, positive=positive, vectors=vectors)
