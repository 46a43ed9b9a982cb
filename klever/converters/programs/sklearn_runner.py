"""Runs scikit-learn models. Loading one runs its author's code, so it happens only in the sandbox."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.sklearn_words import known_words
from klever.converters.programs.tabular import columns, only_file, rows
from klever.converters.programs.tensors import Tensor, signature

__all__ = ["load", "load_model", "methods"]

_METHODS: Final = ("predict", "predict_proba")


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of the model's file, and its inputs. Raises `ConversionError`."""
    estimator = load_model(model)
    named = methods(estimator, request)
    inputs = columns(request, getattr(estimator, "n_features_in_", -1))

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        table = rows({tensor.name: _typed(feeds[tensor.name], tensor) for tensor in inputs})
        return {name: np.asarray(getattr(estimator, method)(table)) for name, method in named.items()}

    words = known_words(estimator, [tensor.name for tensor in inputs])
    return run, [replace(tensor, words=words.get(tensor.name, ())) for tensor in inputs]


def load_model(model: Path) -> Any:
    """Return the estimator. Raises `ConversionError` if it does not load or has an incompatible version."""
    path = only_file(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", category=_version_warning())
            return joblib.load(path)
    except Exception as error:  # the model can raise any exception
        raise ConversionError(f"cannot load {path.name}: {type(error).__name__}: {error}") from error


def methods(estimator: Any, request: Mapping[str, Any]) -> dict[str, str]:
    """Return the method that computes each output, by name: the outputs of the signature, or all."""
    names = [tensor.name for tensor in signature(request, "outputs")]
    found = [method for method in _METHODS if hasattr(estimator, method)] or ["transform"]
    if not names:
        return {method: method for method in found}
    return {name: name if name in found else found[0] for name in names}


def _typed(value: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Return numbers in the type of the signature, as a runtime gives them to the model."""
    return value if tensor.dtype == "string" else value.astype(tensor.dtype)


def _version_warning() -> type[Warning]:
    from sklearn.exceptions import InconsistentVersionWarning  # noqa: PLC0415 - sklearn takes a second to import

    kind: type[Warning] = InconsistentVersionWarning
    return kind
