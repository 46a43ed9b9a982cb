"""Runs an ONNX model with ONNX Runtime, on as many threads as the job has CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import only_match
from klever.converters.programs.tensors import Tensor

__all__ = ["load"]

_ERRORS = 3
onnxruntime.set_default_logger_severity(_ERRORS)


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of the *.onnx file in a directory, and its inputs. Raises `ConversionError`."""
    session = _session(model)
    names = [output.name for output in session.get_outputs()]
    inputs = [
        Tensor(value.name, tuple(dim if isinstance(dim, int) else -1 for dim in value.shape), _dtype(value.type))
        for value in session.get_inputs()
    ]

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        try:
            results = session.run(names, {tensor.name: feeds[tensor.name] for tensor in inputs})
        except Exception as error:  # ONNX Runtime's errors have no common class
            raise ConversionError(f"ONNX Runtime cannot run the model: {error}") from error
        return dict(zip(names, map(np.asarray, results), strict=True))

    return run, inputs


def _session(model: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    path = only_match(model, "*.onnx")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ConversionError(f"ONNX Runtime cannot load {path.name}: {error}") from error


def _dtype(name: str) -> str:
    """Return numpy's name of a type such as `tensor(float)`."""
    element = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(element, element)
