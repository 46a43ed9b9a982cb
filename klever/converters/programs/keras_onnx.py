"""Converts a Keras 3 model (*.keras) to ONNX with Keras' export, keeping the names of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.keras_runner import load_model

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    loaded, path = load_model(model), output / "model.onnx"
    try:
        loaded.export(path, format="onnx", verbose=False)
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise ConversionError(f"Keras cannot export the model to ONNX: {error}") from error
    exported = onnx.load(path)
    _rename(exported.graph, exported.graph.input, loaded.input_names)
    _rename(exported.graph, exported.graph.output, loaded.output_names)
    onnx.save_model(exported, path)


def _rename(graph: Any, values: Any, names: list[str]) -> None:
    """Rename the inputs or outputs of a graph, in order."""
    for value, name in zip(values, names, strict=True):
        for node in graph.node:
            for field in (node.input, node.output):
                for index, used in enumerate(field):
                    if used == value.name:
                        field[index] = name
        value.name = name
