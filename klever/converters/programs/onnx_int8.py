"""Quantizes the weights of an ONNX model to 8 bits (dynamic quantization of ONNX Runtime)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxruntime.quantization import QuantType, quantize_dynamic

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import only_match

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    source = only_match(model, "*.onnx")
    # ONNX Runtime writes a file beside the one that it reads, and the model's directory is read-only.
    linked = output.with_name("quantized")
    linked.mkdir()
    for file in model.iterdir():
        (linked / file.name).symlink_to(file)
    try:
        quantize_dynamic(linked / source.name, output / "model.onnx", weight_type=QuantType.QInt8)
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ConversionError(f"ONNX Runtime cannot quantize {source.name}: {error}") from error
