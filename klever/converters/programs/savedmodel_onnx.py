"""Converts the served signature of a SavedModel to ONNX with tf2onnx, keeping its names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensorflow_models import serving_graph, signature_key
from klever.converters.programs.tensorflow_runner import names
from klever.converters.programs.tf2onnx_command import tf2onnx

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    try:
        graph = serving_graph(model)
        key = signature_key(graph.signature_def, *names(request))
    except ValueError as error:
        raise ConversionError(str(error)) from error
    tags = ",".join(graph.meta_info_def.tags)
    tf2onnx(output, "--saved-model", str(model), "--tag", tags, "--signature_def", key)
