"""A Keras model's configuration: its inputs, outputs and layers, and the inferred shapes.

Sources: keras/src/legacy/saving/saving_utils.py and keras/src/models/functional.py (Keras 2 and 3). `Sequential` has a
list of layers, any other class has nodes that connect its layers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.keras_shapes import Shape, infer
from klever.formats.signature import Signature, Tensor

__all__ = ["MAX_CONFIG", "signature_in"]

MAX_CONFIG: Final = 4 << 20
"""The largest configuration in bytes."""
_MAX_LAYERS: Final = 20_000
_MAX_PASSES: Final = 20
"""The most passes through the layers. Keras lists them in order; shared layers need another pass."""

_MAX_CALLS: Final = 100_000
"""The most calls of layers, including those of nested models, which are followed for each call."""

_LOOKUPS: Final = frozenset({"TextVectorization", "StringLookup", "IntegerLookup", "Hashing", "Discretization"})
_Node = tuple[str, int]
"""A layer, and the number of its call."""


def signature_in(config: bytes, where: str, details: Details) -> Signature:
    """Return the signature of a model. Raises `InvalidError` that begins with `where`, its place."""
    try:
        return _Model(json.loads(config), _Calls()).signature(details)
    except InvalidError as error:
        raise InvalidError(f"{where} is invalid: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{where} is not valid JSON: {error}") from error
    except (KeyError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
        raise InvalidError(f"{where} is invalid: {type(error).__name__} {error}") from error


class _Calls:
    """Bounds the work on one file."""

    def __init__(self) -> None:
        self._left = _MAX_CALLS

    def take(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidError(f"it must call layers at most {_MAX_CALLS} times")


class _Model:
    """The configuration of a model, or of a nested model whose input has the shape `given`."""

    def __init__(self, model: dict[str, Any], calls: _Calls, given: Shape = None) -> None:
        self._calls = calls
        self._sequential = model["class_name"] == "Sequential"
        config = model["config"]
        self._config: dict[str, Any] = config if isinstance(config, dict) else {"layers": config}
        self._layers: list[dict[str, Any]] = self._config["layers"]
        if not self._layers or len(self._layers) > _MAX_LAYERS:
            raise InvalidError(f"it must have 1 to {_MAX_LAYERS} layers, not {len(self._layers)}")
        self._shapes: dict[_Node, Shape] = {}
        self._named: set[_Node] = set()
        if self._sequential:
            self._follow_sequence(given)
        else:
            self._follow_nodes(given)

    def signature(self, details: Details) -> Signature:
        by_name = {str(layer["config"]["name"]): layer for layer in self._layers}
        inputs = [self._input(by_name[name]) for name, _ in self._ends("input_layers")]
        outputs: dict[str, Tensor] = {}
        further: Counter[str] = Counter()
        for name, node in self._ends("output_layers"):
            distinct = name
            while distinct in outputs:  # the further outputs of one layer are numbered as Keras 2 does
                further[name] += 1
                distinct = f"{name}_{further[name]}"
            outputs[distinct] = Tensor(distinct, self._shapes.get((name, node)), _output_dtype(by_name[name]))
        return Signature(tuple(inputs), tuple(outputs.values()), dict(sorted(self.count().items())), details)

    def count(self) -> Counter[str]:
        """Count the layers by class, including those of nested models."""
        layers: Counter[str] = Counter()
        for layer in self._layers:
            if _is_model(layer):
                layers.update(_Model(layer, self._calls).count())
            else:
                layers[str(layer["class_name"])] += 1
        return layers

    def output(self) -> Shape:
        """Return the shape of its first output."""
        return self._shapes.get(next(self._ends("output_layers")))

    def _ends(self, which: str) -> Iterator[_Node]:
        """Yield the input or output layers."""
        if self._sequential:
            end = self._layers[0 if which == "input_layers" else -1]
            yield str(end["config"]["name"]), 0
        else:
            yield from _references(self._config[which])

    def _input(self, layer: dict[str, Any]) -> Tensor:
        config = layer["config"]
        name = str(config["name"])
        if layer["class_name"] != "InputLayer":  # Keras 2 adds an input with this name to a Sequential model
            name = f"{name}_input"
        return Tensor(name, _declared(config) or _declared(self._config), _dtype(config))

    def _follow_sequence(self, given: Shape) -> None:
        shape = given or _declared(self._config)
        for layer in self._layers:
            declared = _declared(layer["config"])
            if layer["class_name"] == "InputLayer":
                shape = given or declared
            else:
                shape = self._shape(layer, [declared or shape])
            self._shapes[str(layer["config"]["name"]), 0] = shape

    def _follow_nodes(self, given: Shape) -> None:
        self._named = {*self._ends("output_layers"), *_references([layer["inbound_nodes"] for layer in self._layers])}
        for _ in range(_MAX_PASSES):
            known = len(self._shapes)
            for layer in self._layers:
                self._follow(layer, given)
            if len(self._shapes) == known:
                return

    def _follow(self, layer: dict[str, Any], given: Shape) -> None:
        name = str(layer["config"]["name"])
        if layer["class_name"] == "InputLayer":
            self._shapes[name, 0] = given or _declared(layer["config"])
            return
        calls = layer["inbound_nodes"]
        # The first call of a nested model is its own, which Keras counts but does not list.
        start = 1 if (name, len(calls)) in self._named else 0
        for index, node in enumerate(calls, start):
            sources = list(_references(node))
            if (name, index) not in self._shapes and sources and all(s in self._shapes for s in sources):
                self._shapes[name, index] = self._shape(layer, [self._shapes[s] for s in sources])

    def _shape(self, layer: dict[str, Any], sources: list[Shape]) -> Shape:
        self._calls.take()
        if _is_model(layer):
            return _Model(layer, self._calls, sources[0]).output()
        return infer(str(layer["class_name"]), layer["config"], sources)


def _is_model(layer: dict[str, Any]) -> bool:
    return isinstance(layer["config"], dict) and isinstance(layer["config"].get("layers"), list)


def _references(value: Any) -> Iterator[_Node]:
    """Yield the calls of layers in a node or an endpoint: `["x", 0, 0, …]`, inside lists and Keras 3's objects."""
    if isinstance(value, dict):
        if "keras_history" in value:
            yield from _references(value["keras_history"])
            return
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0], value[1]
            return
        for part in value:
            yield from _references(part)


def _declared(config: dict[str, Any]) -> Shape:
    for key in ("batch_shape", "batch_input_shape", "build_input_shape"):
        shape = config.get(key)
        if isinstance(shape, list):
            return tuple(-1 if dim is None else int(dim) for dim in shape)
    return None


def _output_dtype(layer: dict[str, Any]) -> str:
    """Return the type of a layer's result: those that look values up give numbers of entries."""
    config = layer["config"]
    if layer["class_name"] in _LOOKUPS and config.get("output_mode", "int") == "int":
        return "int64"
    return _dtype(config)


def _dtype(config: dict[str, Any]) -> str:
    """Return the type from a name or Keras 3's policy object."""
    dtype = config.get("dtype") or "float32"
    if isinstance(dtype, dict):
        dtype = dtype["config"]["name"]
    return "float16" if dtype == "mixed_float16" else str(dtype)
