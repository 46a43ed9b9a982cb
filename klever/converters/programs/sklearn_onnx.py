"""Converts a scikit-learn model to ONNX with skl2onnx, with the inputs and outputs that Klever serves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.sklearn_runner import load_model, methods
from klever.converters.programs.tabular import OPSETS, columns, write
from klever.converters.programs.tensors import Tensor, signature

__all__ = ["convert"]

_TYPES: Final = {"string": StringTensorType, "int64": Int64TensorType, "int32": Int64TensorType}


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    estimator = load_model(model)
    inputs = columns(request, getattr(estimator, "n_features_in_", -1))
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    try:
        converted = to_onnx(
            estimator, initial_types=[(t.name, _type(t)) for t in inputs], options=options, target_opset=OPSETS
        )
    except (MissingConverter, MissingShapeCalculator, RuntimeError, ValueError, TypeError, NameError) as error:
        raise ConversionError(f"skl2onnx cannot convert {type(estimator).__name__}: {error}") from error
    names = dict(zip(("predict", "predict_proba"), (value.name for value in converted.graph.output), strict=False))
    outputs = {names[method]: name for name, method in methods(estimator, request).items()}
    matrices = {
        tensor.name for tensor in signature(request, "outputs") if tensor.size is not None and len(tensor.size) > 1
    }
    vectors = [] if outputs[names["predict"]] in matrices else [names["predict"]]
    write(converted, output / "model.onnx", outputs, vectors=vectors)


def _type(tensor: Tensor) -> Any:
    width = tensor.size[1] if tensor.size is not None and len(tensor.size) > 1 else 1
    return _TYPES.get(tensor.dtype, FloatTensorType)([None, width])
