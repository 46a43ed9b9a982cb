"""ONNX: inputs, outputs and operators of the graph (onnx.proto). External data is checked, but not loaded.

The graph is walked in place; only inputs and outputs become messages. The numbers below are those of onnx.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from onnx import TensorProto, TypeProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from klever.api.wire import Walk, content, text
from klever.errors import InvalidError
from klever.formats.external import find_locations
from klever.formats.files import map_file, only_match
from klever.formats.onnx_facts import CLASSES, Facts
from klever.formats.onnx_shapes import with_shapes
from klever.formats.signature import Signature, Tensor

__all__ = ["external_data", "read_signature"]

_LIMIT: Final = 2 << 30
_MAX_DEPTH: Final = 50
_MAX_OPERATORS: Final = 10_000
_MAX_VALUE_BYTES: Final = 4 << 20
"""The most inputs and outputs. Older models also list their weights as inputs, which the signature omits."""
_LEAST_VALUE_BYTES: Final = 32
_ADVICE: Final = "copy it again, check it with onnx.checker.check_model, or export it again"

_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTION = 7, 20, 25
_TRAINING_GRAPHS: Final = (1, 2)
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_FUNCTION_NODE, _FUNCTION_ATTRIBUTE = 7, 11
_ATTRIBUTE_NAME: Final = 1
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_SPARSE_VALUES, _SPARSE_INDICES = 1, 2
_TENSOR_NAME: Final = 8


def read_signature(model_dir: Path) -> Signature:
    """Read the signature. Symbolic dimensions are -1, initializers are not inputs, subgraphs and functions count."""
    path = only_match(model_dir, "*.onnx", _LIMIT)
    with _named(path):
        return _Reader(model_dir).read(map_file(path))


def external_data(path: Path) -> list[str]:
    """Return the external data files that a model names, whether they exist or not.

    Raises `InvalidError` for a location outside the model directory, and for a file that is not ONNX. Returns none for
    a link, and for a file that is too large for any framework.
    """
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LIMIT:
        return []
    reader = _Reader(None)
    with _named(path):
        reader.walk(map_file(path), set())
    return sorted(reader.locations)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the file's name to errors of an invalid model."""
    try:
        yield
    except DecodeError as error:
        raise InvalidError(f"{path.name} is not an ONNX model: {error}; {_ADVICE}") from error
    except InvalidError as error:
        if error.reason != InvalidError.default_reason:
            raise
        raise InvalidError(f"{path.name} is not an ONNX model: {error.message}; {_ADVICE}") from error


class _Reader:
    """Walks one model. Operators and weights count at any depth.

    External data must be in `model_dir`. Without one, it is only collected.
    """

    def __init__(self, model_dir: Path | None) -> None:
        self._model_dir = model_dir
        self._layers: Counter[str] = Counter()
        self._walk = Walk()
        self._facts = Facts(self._walk)
        self.locations: set[str] = set()

    def read(self, model: memoryview) -> Signature:
        inputs, outputs = self._values(model)
        initial = self.walk(model, {_text(value.name) for value in inputs})
        if not self._layers and not outputs:
            raise InvalidError("it must contain a graph")
        return Signature(
            inputs=tuple(_tensor(value) for value in inputs if value.name not in initial),
            outputs=tuple(map(_tensor, with_shapes(model, outputs))),
            layers=dict(sorted(self._layers.items())),
            details=self._facts.details(),
        )

    def walk(self, model: memoryview, wanted: set[str]) -> set[str]:
        """Walk all graphs. Return the names in `wanted` that are initializers."""
        names: set[str] = set()
        for number, value in self._walk.fields(model):
            if number == _MODEL_GRAPH:  # a repeated field is merged with the first
                names |= self._graph(content(number, value), wanted, 0)
            elif number == _MODEL_TRAINING:
                for part in _TRAINING_GRAPHS:
                    for graph in self._walk.messages(content(number, value), part):
                        self._graph(graph, set(), 0)
            elif number == _MODEL_FUNCTION:
                self._function(content(number, value))
            else:
                self._facts.field(number, value)
        return names

    def _values(self, model: memoryview) -> tuple[list[ValueInfoProto], list[ValueInfoProto]]:
        """Return the graph's inputs and outputs."""
        found: dict[int, list[ValueInfoProto]] = {_GRAPH_INPUT: [], _GRAPH_OUTPUT: []}
        left = _MAX_VALUE_BYTES
        for graph in self._walk.messages(model, _MODEL_GRAPH):
            for number, field in self._walk.fields(graph):
                if number not in found:
                    continue
                value = content(number, field)
                left -= max(len(value), _LEAST_VALUE_BYTES)
                if left < 0:
                    raise InvalidError(f"its inputs and outputs must have at most {_MAX_VALUE_BYTES} bytes")
                found[number].append(ValueInfoProto.FromString(bytes(value)))
        return found[_GRAPH_INPUT], found[_GRAPH_OUTPUT]

    def _graph(self, graph: memoryview, wanted: set[str], depth: int) -> set[str]:
        """Walk a graph. Return the names in `wanted` that are initializers."""
        if depth > _MAX_DEPTH:
            raise InvalidError(f"the graph must be nested at most {_MAX_DEPTH} levels deep")
        names: set[str] = set()
        for number, value in self._walk.fields(graph):
            name = ""
            if number == _GRAPH_NODE:
                self._node(content(number, value), depth)
            elif number == _GRAPH_INITIALIZER:
                name = self._tensor(content(number, value))
                self._facts.initializer(content(number, value))
            elif number == _GRAPH_SPARSE:
                name = self._sparse(content(number, value))
            if name in wanted:
                names.add(name)
        return names

    def _function(self, function: memoryview) -> None:
        for number, value in self._walk.fields(function):
            if number == _FUNCTION_NODE:
                self._node(content(number, value), 0)
            elif number == _FUNCTION_ATTRIBUTE:
                self._attribute(content(number, value), 0)

    def _node(self, node: memoryview, depth: int) -> None:
        operator = ""
        for number, value in self._walk.fields(node):
            if number == _NODE_OPERATOR:
                operator = text(value)
            elif number == _NODE_ATTRIBUTE:
                self._attribute(content(number, value), depth)
        self._layers[operator] += 1
        if len(self._layers) > _MAX_OPERATORS:
            raise InvalidError(f"it must have at most {_MAX_OPERATORS} kinds of operators")

    def _attribute(self, attribute: memoryview, depth: int) -> None:
        name = ""
        labels: list[str] = []
        for number, value in self._walk.fields(attribute):
            if number == _ATTRIBUTE_NAME:
                name = text(value)
            elif name in CLASSES:
                labels += self._facts.labels(number, value)
            elif number in _ATTRIBUTE_TENSORS:
                self._tensor(content(number, value))
            elif number in _ATTRIBUTE_GRAPHS:
                self._graph(content(number, value), set(), depth + 1)
            elif number in _ATTRIBUTE_SPARSE:
                self._sparse(content(number, value))
        self._facts.classes = self._facts.classes or labels

    def _tensor(self, tensor: memoryview) -> str:
        """Check the location of the tensor's data, and return the tensor's name."""
        name = ""
        for value in self._walk.messages(tensor, _TENSOR_NAME):
            name = text(value)
        self.locations.update(find_locations(self._walk, tensor, name, self._model_dir))
        return name

    def _sparse(self, sparse: memoryview) -> str:
        """Check both parts of a sparse tensor. Its name is that of the values."""
        name = ""
        for values in self._walk.messages(sparse, _SPARSE_VALUES):
            name = self._tensor(values)
        for indices in self._walk.messages(sparse, _SPARSE_INDICES):
            self._tensor(indices)
        return name


def _tensor(value: ValueInfoProto) -> Tensor:
    if value.type.WhichOneof("value") != "tensor_type":
        return Tensor(_text(value.name), None, _type_name(value.type, 0))
    tensor = value.type.tensor_type
    size = None
    if tensor.HasField("shape"):
        size = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    return Tensor(_text(value.name), size, _dtype(tensor.elem_type))


def _text(value: object) -> str:
    """Return a name. protobuf returns bytes for invalid UTF-8."""
    if not isinstance(value, str):
        raise InvalidError(f"a name must be UTF-8: {value!r}")
    return value


def _dtype(elem_type: int) -> str:
    if elem_type == TensorProto.STRING:
        return "string"
    try:
        return str(np.dtype(tensor_dtype_to_np_dtype(elem_type)).name)
    except (KeyError, ValueError, TypeError):
        return f"onnx({elem_type})"


def _type_name(value: TypeProto, depth: int) -> str:
    """Return the notation of a type that is not a tensor: `sequence(map(int64,float32))`."""
    kind = value.WhichOneof("value")
    if depth > _MAX_DEPTH or kind is None:
        return "unknown"
    if kind == "tensor_type":
        return _dtype(value.tensor_type.elem_type)
    inner: Any = getattr(value, kind)
    name = kind.removesuffix("_type")
    if kind == "map_type":
        return f"map({_dtype(inner.key_type)},{_type_name(inner.value_type, depth + 1)})"
    if kind in ("sequence_type", "optional_type"):
        return f"{name}({_type_name(inner.elem_type, depth + 1)})"
    return str(name)
