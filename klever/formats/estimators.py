"""Reads estimators of scikit-learn, and of libraries with its conventions, from a pickle as data.

Source: scikit-learn's "Developing scikit-learn estimators": fitted attributes end in an underscore (`n_features_in_`,
`feature_names_in_`, `classes_`), and every estimator pickles the version that wrote it (`_sklearn_version`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from klever.pickles.values import NumpyArray, attributes, class_name, numpy_array, scalar

__all__ = ["Estimator", "estimator", "steps"]


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator. `name` is its class with the module, `values` are its attributes."""

    name: str
    values: Mapping[str, Any]

    @property
    def short(self) -> str:
        """The name of the class without the module."""
        return self.name.rpartition(".")[2]

    @property
    def library(self) -> str:
        """The package of the class."""
        return self.name.partition(".")[0]

    def array(self, *names: str) -> NumpyArray | None:
        """Return the first of these attributes that is an array; None if there is none."""
        return next((a for a in map(numpy_array, map(self.values.get, names)) if a is not None), None)

    def count(self, *names: str) -> int | None:
        """Return the first of these attributes that is a count; None if there is none."""
        found = (scalar(self.values.get(name)) for name in names)
        return next((n for n in found if type(n) is int and 0 <= n < 1 << 31), None)

    def texts(self, *names: str) -> tuple[str, ...]:
        """Return the first of these attributes that is an array, as text; empty if its elements are not text."""
        array = self.array(*names)
        return tuple(str(scalar(item)) for item in (array.items() if array else None) or ())


def estimator(value: object) -> Estimator | None:
    """Return a value as an estimator; None for a value without a class and attributes."""
    name, values = class_name(value), attributes(value)
    return Estimator(name, values) if name and values else None


def steps(value: object) -> Iterator[Estimator]:
    """Yield the estimators of a pipeline in order, including those of nested pipelines; or the estimator itself.

    The best estimator of a search replaces the search.
    """
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        found = estimator(item)
        if found is None or id(item) in seen:  # a pipeline may contain itself
            continue
        seen.add(id(item))
        inner = list(_parts(found))
        if inner:
            waiting.extend(reversed(inner))
        else:
            yield found


def _parts(found: Estimator) -> Iterator[object]:
    """Yield the consecutive steps of an estimator."""
    if estimator(found.values.get("best_estimator_")):
        yield found.values["best_estimator_"]
        return
    inner = found.values.get("steps")
    for step in inner if isinstance(inner, list) else ():
        if isinstance(step, tuple) and len(step) == 2 and estimator(step[1]):
            yield step[1]
