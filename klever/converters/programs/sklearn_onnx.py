"""Converts a scikit-learn model to ONNX with skl2onnx, with the inputs and outputs that Klever serves."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.base import is_classifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.sklearn_runner import load_model, methods
from klever.converters.programs.tabular import OPSETS, columns, write
from klever.converters.programs.tensors import Tensor, signature

__all__ = ["convert"]

_TYPES: Final = {"string": StringTensorType, "int64": Int64TensorType, "int32": Int64TensorType}
_BOOSTERS: Final = {"lightgbm": "sklearn_lightgbm", "xgboost": "sklearn_xgboost"}
"""Libraries of estimators -> the module that makes them known to skl2onnx."""
_DOUBLE: Final = ("GaussianProcessRegressor",)
"""Estimators that need float64: their kernels subtract large numbers from each other."""
_TEXT: Final = {"locale": "C.UTF-8"}
"""Machines have this locale. Not all have en_US.UTF-8, which ONNX Runtime uses otherwise."""
_CLASS: Final = re.compile(r"<class '([\w.]+)'>")
_ADVICE: Final = "serve the model as SKLearn, or train an estimator that skl2onnx supports"


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    estimator = load_model(model)
    inputs = columns(request, getattr(estimator, "n_features_in_", -1))
    for library in _BOOSTERS.keys() & sys.modules.keys():  # those that the model has imported
        importlib.import_module(f".{_BOOSTERS[library]}", __package__)
    converted = _converted(estimator, inputs)
    names = dict(zip(_methods(estimator), (value.name for value in converted.graph.output), strict=False))
    outputs = {names[method]: name for name, method in methods(estimator, request).items()}
    matrices = {
        tensor.name for tensor in signature(request, "outputs") if tensor.size is not None and len(tensor.size) > 1
    }
    vectors = [names["predict"]] if "predict" in names and outputs[names["predict"]] not in matrices else []
    write(converted, output / "model.onnx", outputs, vectors=vectors)


def _methods(estimator: Any) -> tuple[str, ...]:
    """Return the methods in the order of skl2onnx's outputs."""
    return ("predict", "predict_proba") if hasattr(estimator, "predict") else ("transform",)


def _converted(estimator: Any, inputs: list[Tensor]) -> Any:
    name = type(estimator).__name__
    _check_targets(estimator)
    options: dict[Any, Any] = {CountVectorizer: _TEXT, TfidfVectorizer: _TEXT}
    if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        options[id(estimator)] = {"zipmap": False}
    for part in (estimator, *_parts(estimator)):
        if hasattr(part, "flatten_transform"):
            part.flatten_transform = False  # it changes only `transform`, and skl2onnx converts no other value
    number = DoubleTensorType if type(_last(estimator)).__name__ in _DOUBLE else FloatTensorType
    types = [(tensor.name, _type(tensor, number, alone=len(inputs) == 1)) for tensor in inputs]
    try:
        return to_onnx(estimator, initial_types=types, options=options, target_opset=OPSETS)
    except (MissingConverter, MissingShapeCalculator) as error:
        unknown = _CLASS.search(str(error))
        raise ConversionError(f"skl2onnx has no converter for {unknown[1] if unknown else name}: {_ADVICE}") from error
    except (RuntimeError, ValueError, TypeError, NameError, AttributeError, KeyError) as error:
        raise ConversionError(f"skl2onnx cannot convert {name}: {error}. Instead, {_ADVICE}") from error


def _parts(estimator: Any) -> list[Any]:
    return list(estimator.get_params(deep=True).values()) if hasattr(estimator, "get_params") else []


def _last(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", None)
    return steps[-1][1] if steps else estimator


def _check_targets(estimator: Any) -> None:
    """Raise `ConversionError` for targets with different numbers of classes, of which ONNX makes no tensor."""
    classes = getattr(_last(estimator), "classes_", None)
    counts = [len(one) for one in classes] if isinstance(classes, list) else []
    if len(set(counts)) > 1:
        raise ConversionError(
            f"skl2onnx cannot convert {type(_last(estimator)).__name__} for targets with different numbers of classes "
            f"({', '.join(map(str, counts))}): train one model for each target, or serve the model as SKLearn"
        )


def _type(tensor: Tensor, number: Any, *, alone: bool) -> Any:
    """Return the type of an input. A column of a table is a matrix of one column, and texts alone are a vector."""
    kind = _TYPES.get(tensor.dtype, number)
    if tensor.size is not None and len(tensor.size) > 1:
        return kind([None, tensor.size[1] if tensor.size[1] > 0 else None])
    return kind([None]) if alone and tensor.dtype == "string" else kind([None, 1])
