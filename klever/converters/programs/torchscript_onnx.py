"""Converts a TorchScript model to ONNX with torch.onnx, under the names of its signature."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from klever.converters.programs.compare import example
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import Tensor, signature
from klever.converters.programs.torch_models import OtherResultsError, TorchModel
from klever.converters.programs.torch_runner import load_model

__all__ = ["convert"]

_OPSET: Final = 18
_BATCH: Final = 2
"""The batch size of the example. PyTorch may export a dimension of 1 as a fixed, broadcast dimension."""


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    loaded, inputs = load_model(model, request), signature(request, "inputs")
    outputs = signature(request, "outputs")
    given = loaded.given(example(inputs, _BATCH))
    values = tuple(given.values())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                torch.jit.trace(_Positional(loaded, list(given)), values, check_trace=False),
                values,
                str(output / "model.onnx"),
                input_names=[tensor.name for tensor in inputs],
                output_names=[tensor.name for tensor in outputs],
                dynamic_axes={tensor.name: _dynamic(tensor) for tensor in (*inputs, *outputs)},
                opset_version=_OPSET,
                dynamo=False,
            )
    except (RuntimeError, ValueError, TypeError, OtherResultsError, torch.onnx.OnnxExporterError) as error:
        raise ConversionError(f"torch.onnx cannot export the model: {error}") from error


def _dynamic(tensor: Tensor) -> dict[int, str]:
    """Return names for the dynamic dimensions of a tensor, by axis."""
    dims = tensor.dims() or []
    return {axis: dim for axis, dim in enumerate(dims) if isinstance(dim, str)}


class _Positional(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not installed here
    """The model with a tuple of results: the exporter knows no dictionaries. What is traced of it is scripted."""

    def __init__(self, model: TorchModel, arguments: list[str]) -> None:
        super().__init__()
        self.module = model.module
        self._model = model
        self._arguments = arguments

    def forward(self, *values: Any) -> tuple[Any, ...]:
        return tuple(self._model.results(dict(zip(self._arguments, values, strict=True))).values())
