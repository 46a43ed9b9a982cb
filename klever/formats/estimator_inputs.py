"""The inputs of a fitted estimator: one matrix, or columns by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from klever.formats.estimators import Estimator, estimator, steps
from klever.formats.signature import Tensor
from klever.pickles.values import numpy_array

__all__ = ["inputs"]

_MATRIX: Final = "x"
_NUMBER, _TEXT = "float64", "string"
_TEXT_MODULE: Final = "sklearn.feature_extraction.text."


def inputs(first: Estimator) -> tuple[Tensor, ...]:
    """Return a column for each name if the first step selects columns by name, otherwise one matrix of rows."""
    names = first.texts("feature_names_in_")
    if names and first.short == "ColumnTransformer":
        types = dict(_column_types(first))
        return tuple(Tensor(name, (-1,), types.get(name, _NUMBER)) for name in names)
    if first.name.startswith(_TEXT_MODULE):
        return (Tensor(_MATRIX, (-1,), _TEXT),)
    return (Tensor(_MATRIX, (-1, _features(first)), _type(first)),)


def _features(first: Estimator) -> int:
    """Return the number of columns of the matrix; -1 if the attributes do not have it."""
    inner = first.values.get("estimators_")  # for an ensemble that does not store the number itself
    of_inner = [part for part in map(estimator, inner if isinstance(inner, list) else ()) if part is not None]
    counts = (part.count("n_features_in_", "_n_features_in", "_n_features") for part in (first, *of_inner[:1]))
    return next((count for count in counts if count is not None), -1)


def _column_types(transformer: Estimator) -> Iterator[tuple[str, str]]:
    """Yield column and type of the inputs that a ColumnTransformer passes to its transformers."""
    fitted = transformer.values.get("transformers_")
    for part in fitted if isinstance(fitted, list) else ():
        if isinstance(part, tuple) and len(part) == 3 and (first := next(steps(part[1]), None)) is not None:
            yield from ((name, _type(first)) for name in _columns(part[2]))


def _columns(chosen: Any) -> Iterator[str]:
    array = numpy_array(chosen)
    names = array.items() if array else [chosen] if isinstance(chosen, str) else chosen
    yield from (name for name in (names if isinstance(names, list) else ()) if isinstance(name, str))


def _type(first: Estimator) -> str:
    """Return the input type of an encoder or a vectorizer; that of numbers for other estimators."""
    if first.name.startswith(_TEXT_MODULE):
        return _TEXT
    categories = first.values.get("categories_")
    arrays = map(numpy_array, categories if isinstance(categories, list) else ())
    return _TEXT if any(a is not None and a.dtype in ("object", "string") for a in arrays) else _NUMBER
