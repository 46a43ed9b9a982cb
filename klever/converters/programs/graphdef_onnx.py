"""Converts a frozen TensorFlow graph to ONNX with tf2onnx."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow.core.framework.graph_pb2 import GraphDef

from klever.converters.programs.files import only_match
from klever.converters.programs.tensorflow_runner import graph_tensors
from klever.converters.programs.tf2onnx_command import tf2onnx

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    path = only_match(model, "*.graphdef|*.pb")
    inputs, outputs = graph_tensors(GraphDef.FromString(path.read_bytes()), request)
    tf2onnx(
        output,
        *("--graphdef", str(path)),
        *("--inputs", ",".join(map(_tensor, inputs)), "--rename-inputs", ",".join(inputs)),
        *("--outputs", ",".join(map(_tensor, outputs)), "--rename-outputs", ",".join(outputs)),
    )


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"
