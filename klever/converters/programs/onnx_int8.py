"""Quantizes the weights of an ONNX model to 8 bits (dynamic quantization of ONNX Runtime)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxruntime.quantization import QuantType, quantize_dynamic

from klever.converters.programs.errors import ConversionError

__all__ = ["convert"]


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    source = next(model.glob("*.onnx"))
    try:
        quantize_dynamic(source, output / "model.onnx", weight_type=QuantType.QInt8)
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ConversionError(f"ONNX Runtime cannot quantize {source.name}: {error}") from error
