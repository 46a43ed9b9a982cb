"""MLflow: the file MLmodel with the model's signature, its flavors and their files.

Source: mlflow's documentation, "MLflow Models" (storage format), and mlflow/types/schema.py. The model is not loaded.
Without a signature in MLmodel, a pickled estimator of scikit-learn is read as data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from klever.api.documents import read_document
from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.estimator_signature import signature
from klever.formats.files import check_path, only_match, size_inside
from klever.formats.pickled import code_warnings, read_file
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

_MAX_FILE: Final = 1 << 20
_FUNCTION: Final = "python_function"
_PATHS: Final = ("data", "model_path", "model_data", "pickled_model", "python_model")
"""Keys of a flavor that name a file or directory of the model."""
_PICKLES: Final = (".pkl", ".pickle", ".joblib")
_NO_SIGNATURE: Final = "MLmodel has no signature: save the model with signature=mlflow.models.infer_signature(…)"
_TYPES: Final = {
    "boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64", "string": "string",
    "binary": "bytes", "datetime": "datetime64",
}  # fmt: skip
"""The numpy types of column types."""
_TEXTS: Final = ("str", "object", "bytes")
"""The numpy types of text tensors."""


def read_signature(model: Path) -> Signature:
    """Read the signature. Raises `InvalidError` if MLmodel is invalid, or names a file that is not in the model."""
    path = only_match(model, "MLmodel", _MAX_FILE)
    document = read_document(path.read_bytes(), path.name, aliases=False)
    try:
        return _read(document, model)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        raise InvalidError(f"invalid MLmodel: {type(error).__name__} {str(error)[:100]}") from error


def _read(document: Any, model: Path) -> Signature:
    flavors = document["flavors"]
    if not flavors:
        raise InvalidError("MLmodel names no flavor: save the model with mlflow.FLAVOR.save_model()")
    paths = list(dict.fromkeys(_paths(flavors)))
    warnings = tuple(_code(flavors))
    if model.is_dir():
        for location in paths:
            _check_inside(model, location)
    else:
        warnings = (*warnings, "the files that MLmodel names were not read")
    pickled = _pickled(model, paths, _predict_fn(flavors))
    found = _declared(document.get("signature")) or pickled
    if not found.inputs:
        warnings = (*warnings, _NO_SIGNATURE)
    details = replace(
        pickled.details,
        format_version=f"mlflow {document.get('mlflow_version', '')}".strip(),
        producer=pickled.details.producer or _producer(flavors),
        warnings=(*warnings, *pickled.details.warnings),
    )
    return replace(found, layers={name: 1 for name in sorted(map(str, flavors)) if name != _FUNCTION}, details=details)


def _paths(flavors: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths that flavors name."""
    for flavor in flavors.values():
        for key in _PATHS:
            if isinstance(flavor, dict) and isinstance(flavor.get(key), str):
                check_path(flavor[key], f"MLmodel: {key}")
                yield flavor[key]


def _check_inside(model: Path, location: str) -> None:
    """Raise `InvalidError` unless the location is a regular file or a directory of the model."""
    place = model
    for name in Path(location).parts:
        place /= name
        if place.is_symlink():
            raise InvalidError(f"MLmodel names {location[:80]!r}: {name} must not be a link", reason="UNSAFE_PATH")
    if not place.is_dir():
        size_inside(model, location, "the model that MLmodel names")


def _code(flavors: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for Python code in the model, and for a loader that is not MLflow's."""
    for name, flavor in flavors.items():
        if isinstance(flavor, dict) and flavor.get("code"):
            yield f"the flavor {str(name)[:80]} loads Python code from {str(flavor['code'])[:80]!r}"
        loader = flavor.get("loader_module") if isinstance(flavor, dict) else None
        if loader and not str(loader).startswith("mlflow."):
            yield f"the module {str(loader)[:80]!r} loads the flavor {str(name)[:80]}"


def _producer(flavors: Mapping[str, Any]) -> str:
    """Return the framework of the first flavor with a version: `sklearn_version`, `xgb_version`, …"""
    for name, flavor in flavors.items():
        for key, value in flavor.items() if isinstance(flavor, dict) and name != _FUNCTION else ():
            if str(key).endswith("_version") and value:
                return f"{name} {value}"
    return ""


def _declared(declared: Any) -> Signature | None:
    """Return the signature in MLmodel; None if there is none."""
    if not declared or not declared.get("inputs"):
        return None
    inputs, outputs = (json.loads(declared.get(side) or "[]") for side in ("inputs", "outputs"))
    return Signature(tuple(_tensors(inputs, "x")), tuple(_tensors(outputs, "predict")))


def _tensors(specs: list[Any], unnamed: str) -> Iterator[Tensor]:
    for index, spec in enumerate(specs):
        name = str(spec.get("name") or (unnamed if len(specs) == 1 else f"{unnamed}_{index}"))
        tensor = spec.get("tensor-spec")
        if tensor is None:
            yield Tensor(name, (-1,), _column_type(spec))
        else:
            dtype = str(tensor["dtype"])
            yield Tensor(name, tuple(map(int, tensor["shape"])), "string" if dtype in _TEXTS else dtype)


def _column_type(spec: Mapping[str, Any]) -> str:
    """Return the type of a column; types of objects and arrays are in MLflow's notation."""
    kind = str(spec["type"])
    items = spec.get("items")
    return f"{kind}({_column_type(items)})" if isinstance(items, dict) else _TYPES.get(kind, kind)


def _predict_fn(flavors: Mapping[str, Any]) -> str:
    """Return the method of an estimator that MLflow calls."""
    return str((flavors.get(_FUNCTION) or {}).get("predict_fn", "predict"))


def _pickled(model: Path, paths: list[str], method: str) -> Signature:
    """Return the signature of the estimator in a pickle that a flavor names, with the output of one method.

    The signature is empty without such a pickle.
    """
    for location in paths:
        if model.is_dir() and location.endswith(_PICKLES):
            found = read_file(model / location)
            whole = signature(found) or Signature(details=Details(warnings=code_warnings(found)))
            return replace(whole, outputs=tuple(tensor for tensor in whole.outputs if tensor.name == method))
    return Signature()
