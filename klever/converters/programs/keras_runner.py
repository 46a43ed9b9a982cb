"""Runs Keras models: *.h5, *.hdf5 and *.keras."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.keras_models import KerasModel, load_file
from klever.converters.programs.tensors import Tensor

__all__ = ["load", "load_model"]


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of the *.h5, *.hdf5 or *.keras file in a directory, and its inputs. Raises `ConversionError`."""
    loaded = load_model(model, request)
    inputs = [
        Tensor(name, tuple(-1 if dim is None else int(dim) for dim in spec.shape), spec.dtype.name)
        for name, spec in loaded.inputs.items()
    ]

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        return {name: np.asarray(value) for name, value in loaded.call(feeds).items()}

    return run, inputs


def load_model(model: Path, request: Mapping[str, Any]) -> KerasModel:
    """Return the model. Raises `ConversionError` if Keras cannot load it."""
    try:
        path = next(path for path in model.iterdir() if path.suffix in (".h5", ".hdf5", ".keras"))
        return load_file(path, code=request.get("code", False))
    except (ValueError, TypeError, OSError, KeyError, AttributeError, ImportError) as error:
        raise ConversionError(f"Keras cannot load the model: {error}") from error
