"""Converts the served signature of a SavedModel to ONNX with tf2onnx, keeping its names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensorflow_runner import signature_key
from klever.converters.programs.tf2onnx_command import tf2onnx

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    graphs = SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs
    serving = next((graph for graph in graphs if "serve" in graph.meta_info_def.tags), None)
    if serving is None:
        raise ConversionError("saved_model.pb has no graph with the tag 'serve'")
    tags = ",".join(serving.meta_info_def.tags)
    tf2onnx(output, "--saved-model", str(model), "--tag", tags, "--signature_def", signature_key(serving.signature_def))
