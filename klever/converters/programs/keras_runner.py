"""Runs Keras models: *.h5 with Keras 2 (tf_keras), *.keras with Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import Tensor

__all__ = ["load", "load_model"]


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of the *.h5 or *.keras file in a directory, and its inputs. Raises `ConversionError`."""
    loaded = load_model(model)
    inputs = [
        Tensor(name, tuple(-1 if dim is None else int(dim) for dim in value.shape), _dtype(value.dtype))
        for name, value in zip(loaded.input_names, loaded.inputs, strict=True)
    ]
    names = list(loaded.output_names)

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        values = [feeds[tensor.name] for tensor in inputs]
        results = loaded(values if len(values) > 1 else values[0], training=False)
        listed = results if isinstance(results, list | tuple) else [results]
        return dict(zip(names, map(np.asarray, listed), strict=True))

    return run, inputs


def load_model(model: Path) -> Any:
    """Return the model. Raises `ConversionError` if Keras cannot load it."""
    old = list(model.glob("*.h5"))
    try:
        if old:
            import tf_keras  # noqa: PLC0415 - either Keras takes seconds to import

            return tf_keras.models.load_model(old[0], compile=False)
        import keras  # noqa: PLC0415 - either Keras takes seconds to import

        return keras.saving.load_model(next(model.glob("*.keras")), compile=False)
    except (ValueError, TypeError, OSError, KeyError, AttributeError, ImportError) as error:
        raise ConversionError(f"Keras cannot load the model: {error}") from error


def _dtype(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))
