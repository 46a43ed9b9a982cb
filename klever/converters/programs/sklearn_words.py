"""The texts that the encoders of a scikit-learn model know. Most encoders refuse others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["known_words"]


def known_words(estimator: Any, names: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the known texts of each input: of a column, or those that all columns of the only input have."""
    found: dict[str, tuple[str, ...]] = {}
    for part in _steps(estimator):
        for _, inner, columns in getattr(part, "transformers_", ()):
            found |= dict(zip(map(str, columns), _categories(inner), strict=False))
        if len(names) == 1 and (common := _categories(part)):
            found[names[0]] = tuple(sorted(set.intersection(*map(set, common))))
    return found


def _steps(estimator: Any) -> Iterator[Any]:
    steps = getattr(estimator, "steps", None)
    yield from (step for _, step in steps) if steps else (estimator,)


def _categories(estimator: Any) -> list[tuple[str, ...]]:
    """Return the texts of each column of the first encoder; none for numbers."""
    for step in _steps(estimator):
        if hasattr(step, "categories_"):
            return [tuple(value for value in column if isinstance(value, str)) for column in step.categories_]
    return []
