"""Runs the model and the converted model on the same inputs, and measures the differences of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.tensors import Tensor

__all__ = ["Feeds", "Runner", "check", "compare", "example"]

Feeds = Mapping[str, NDArray[Any]]
Runner = Callable[[Feeds], Mapping[str, NDArray[Any]]]
"""A function that runs a model: inputs by name -> outputs by name."""

_SEED: Final = 20
_DYNAMIC: Final = 4
"""The size of dynamic dimensions, except the first, which gets each of `_BATCHES`."""
_BATCHES: Final = (1, 3)
_MAX_ELEMENTS: Final = 1 << 27
_ROUNDS: Final = 32
_TABLE_RANK: Final = 2
_WORDS: Final = ("", "a", "Klever", "0", "\u00e4")


def _feeds(inputs: Sequence[Tensor], rounds: int = 0) -> Iterator[tuple[str, Feeds]]:
    """Yield named sets of inputs: random ones for each batch size, all zeros, all ones, and large values.

    `rounds` more random sets come last.
    """
    random = np.random.default_rng(_SEED)
    batches = _BATCHES if any(tensor.size and tensor.size[0] < 0 for tensor in inputs) else _BATCHES[:1]
    for batch in batches:
        yield f"random, batch {batch}", example(inputs, batch, random)
    for name, value in (("zeros", 0.0), ("ones", 1.0), ("large", 100.0)):
        yield name, {t.name: _filled(t, batches[0], value) for t in inputs}
    for number in range(1, rounds + 1):
        yield f"random {number}", example(inputs, batches[-1], random)


def example(inputs: Sequence[Tensor], batch: int, random: np.random.Generator | None = None) -> Feeds:
    """Return random inputs. Raises `ConversionError` if they are too large."""
    random = random or np.random.default_rng(_SEED)
    return {tensor.name: _random(tensor, batch, random) for tensor in inputs}


def compare(
    inputs: Sequence[Tensor], source: Runner, target: Runner, tolerance: float | None, *, lossy: bool = False
) -> dict[str, Any]:
    """Return the report of all feeds. `passed` says whether every relative difference is at most `tolerance`.

    The absolute difference is that of the element with the largest one. The relative difference divides it by the
    largest absolute value of the source's output, so that elements near zero do not count more than others. Without a
    tolerance every difference passes. A `lossy` conversion is compared on more random inputs, and its report has the
    `Loss` of each output. Raises `ConversionError` if the outputs have other names or shapes.
    """
    found: dict[str, dict[str, Any]] = {}
    losses: dict[str, Loss] = {}
    samples = []
    for name, feed in _feeds(inputs, _ROUNDS if lossy else 0):
        samples.append(name)
        expected, actual = source(feed), target(feed)
        if set(expected) != set(actual):
            raise ConversionError(
                f"the outputs changed: the model has {sorted(expected)}, and the converted model has {sorted(actual)}"
            )
        for output, value in expected.items():
            _measure(found.setdefault(output, {"absolute": 0.0, "relative": 0.0}), output, value, actual[output])
            if lossy and name.startswith("random") and value.dtype.kind in "fiub":
                losses.setdefault(output, Loss()).add(value, actual[output])
    for output, loss in losses.items():
        found[output] |= loss.to_json()
    passed = tolerance is None or all(difference["relative"] <= tolerance for difference in found.values())
    return {"samples": samples, "tolerance": tolerance, "outputs": found, "passed": passed}


@dataclass
class Loss:
    """The accuracy that an output lost, over all random inputs."""

    error: float = 0.0
    power: float = 0.0
    rows: int = 0
    agreeing: int = 0

    def add(self, expected: NDArray[Any], actual: NDArray[Any]) -> None:
        """Add the output of one feed."""
        wide, other = expected.astype(np.float64), actual.astype(np.float64)
        self.error += float(np.square(wide - other).sum())
        self.power += float(np.square(wide).sum())
        if wide.ndim == _TABLE_RANK and wide.shape[1] > 1:
            self.rows += len(wide)
            self.agreeing += int((wide.argmax(1) == other.argmax(1)).sum())

    def to_json(self) -> dict[str, float]:
        """Return `mean`, the root mean square of the difference over that of the output, and for rows of scores
        `agreement`, the share of rows whose largest score stays the largest."""
        mean = (self.error / self.power) ** 0.5 if self.power else float(self.error > 0)
        return {"mean": mean, **({"agreement": self.agreeing / self.rows} if self.rows else {})}


def check(inputs: Sequence[Tensor], target: Runner) -> dict[str, Any]:
    """Run a converted model whose source cannot run. Raises `ConversionError` for outputs that are not numbers."""
    samples = []
    for name, feed in _feeds(inputs):
        samples.append(name)
        for output, value in target(feed).items():
            if value.dtype.kind == "f" and np.isnan(value).any() and name.startswith("random"):
                raise ConversionError(f"output {output} is not a number for {name}")
    return {"samples": samples, "outputs": {}, "passed": True}


def _measure(found: dict[str, Any], name: str, expected: NDArray[Any], actual: NDArray[Any]) -> None:
    if expected.shape != actual.shape:
        raise ConversionError(f"output {name}: the shape changed from {list(expected.shape)} to {list(actual.shape)}")
    if expected.dtype.kind not in "fiub" or expected.size == 0:
        found["different"] = found.get("different", 0) + int((expected != actual).sum())
        found["relative"] = max(found["relative"], float(found["different"] > 0))
        return
    wide, other = expected.astype(np.float64), actual.astype(np.float64)
    with np.errstate(invalid="ignore"):  # for infinity minus infinity
        apart = np.where((wide == other) | (np.isnan(wide) & np.isnan(other)), 0.0, np.abs(wide - other))
    absolute = float(np.nan_to_num(apart, nan=np.inf).max())
    if not np.isfinite(absolute):
        raise ConversionError(f"output {name}: the converted model returns what is not a finite number")
    finite = np.abs(wide[np.isfinite(wide)])
    scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    found["absolute"] = max(found["absolute"], absolute)
    found["relative"] = max(found["relative"], absolute / scale)


def _shape(tensor: Tensor, batch: int) -> tuple[int, ...]:
    if tensor.size is None:
        return (batch,)
    shape = tuple((batch if axis == 0 else _DYNAMIC) if dim < 0 else dim for axis, dim in enumerate(tensor.size))
    if np.prod(shape, dtype=np.float64) > _MAX_ELEMENTS:
        raise ConversionError(f"input {tensor.name}: {list(shape)} has more than {_MAX_ELEMENTS} elements")
    return shape


def _random(tensor: Tensor, batch: int, random: np.random.Generator) -> NDArray[Any]:
    shape = _shape(tensor, batch)
    if tensor.dtype == "string":
        return random.choice(np.array(tensor.words or _WORDS, object), shape)
    kind = np.dtype(tensor.dtype)
    if kind.kind == "f":
        return random.standard_normal(shape).astype(kind)
    return random.integers(0, 2, shape).astype(kind)  # often an index or a mask, for which 0 and 1 are valid


def _filled(tensor: Tensor, batch: int, value: float) -> NDArray[Any]:
    shape = _shape(tensor, batch)
    if tensor.dtype == "string":
        return np.full(shape, (tensor.words or _WORDS)[-1 if value else 0], object)
    kind = np.dtype(tensor.dtype)
    return np.full(shape, value if kind.kind == "f" else min(value, 1.0), kind)
