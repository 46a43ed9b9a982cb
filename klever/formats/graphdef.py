"""TensorFlow GraphDef, a frozen graph: its placeholders, the nodes that no other node reads, and its operators.

The graph is walked in place. The numbers are those of tensorflow/core/framework/{graph,node_def,attr_value}.proto.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from klever.api.wire import Walk, content, text
from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import map_file, only_match
from klever.formats.signature import Signature, Tensor
from klever.formats.tensorflow import Shape, count_graph, dtype_bits, dtype_name, map_entry, read_shape
from klever.formats.weights import Weights, elements

__all__ = ["read_signature"]

_LIMIT: Final = 2 << 30
_GRAPH_NODE, _GRAPH_VERSIONS, _VERSIONS_PRODUCER = 1, 4, 1
_NODE_NAME, _NODE_OPERATOR, _NODE_INPUT, _NODE_ATTRIBUTE = 1, 2, 3, 5
_VALUE_LIST, _VALUE_SHAPE, _VALUE_TENSOR, _LIST_SHAPE = 1, 7, 8, 7
_TENSOR_TYPE, _TENSOR_SHAPE = 1, 2
_OUTPUT_TYPES: Final = ("dtype", "DstT", "output_type", "out_type", "Tout", "T")
"""Attributes with the type of an operator's first output, most specific first."""
_BOOLEAN: Final = frozenset(
    {"Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "IsNan", "IsInf", "IsFinite", "InTopKV2"}
)
_NOT_WEIGHTS: Final = frozenset({3, 9, 10})
"""DT_INT32, DT_INT64, DT_BOOL: constants of these types are shapes, axes and flags."""
_NOT_OUTPUTS: Final = frozenset({"NoOp", "Assert", "Const", "Placeholder", "PlaceholderWithDefault"})
"""Operators whose results callers do not fetch."""


def read_signature(model_dir: Path) -> Signature:
    """Read the signature: inputs are the placeholders, outputs the nodes that no other node reads."""
    path = only_match(model_dir, "*.graphdef|*.pb", _LIMIT)
    try:
        return _read(map_file(path))
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a GraphDef: {error.message}", reason=error.reason) from error


@dataclass(slots=True)
class _Node:
    name: str = ""
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    types: dict[str, int] = field(default_factory=dict)
    shape: Shape = None
    constant: memoryview | None = None
    """The TensorProto of a Const."""

    def tensor(self) -> Tensor:
        if self.operator in _BOOLEAN:
            return Tensor(self.name, self.shape, "bool")
        number = next((self.types[name] for name in _OUTPUT_TYPES if name in self.types), None)
        return Tensor(self.name, self.shape, "" if number is None else dtype_name(number))


def _read(graph: memoryview) -> Signature:
    walk, weights = Walk(), Weights()
    inputs: list[Tensor] = []
    results: dict[str, Tensor] = {}
    read: set[str] = set()
    for message in walk.messages(graph, _GRAPH_NODE):
        node = _node(walk, message)
        read.update(node.inputs)
        if node.constant is not None:
            _count(walk, node.constant, weights)
        if node.operator in ("Placeholder", "PlaceholderWithDefault"):
            inputs.append(node.tensor())
        elif node.operator not in _NOT_OUTPUTS:
            results[node.name] = node.tensor()
    if not inputs and not results:
        raise InvalidError("it must have nodes")
    layers: Counter[str] = Counter()
    count_graph(walk, graph, layers)
    outputs = tuple(tensor for name, tensor in results.items() if name not in read)
    return Signature(tuple(inputs), outputs, dict(sorted(layers.items())), _details(walk, graph, weights))


def _details(walk: Walk, graph: memoryview, weights: Weights) -> Details:
    versions = (
        number
        for message in walk.messages(graph, _GRAPH_VERSIONS)
        for field, number in walk.fields(message)
        if field == _VERSIONS_PRODUCER
    )
    version = next(versions, None)
    return Details(
        format_version=f"graph version {version}" if isinstance(version, int) else "",
        parameters=weights.parameters,
        parameter_bytes=weights.bytes,
    )


def _count(walk: Walk, tensor: memoryview, weights: Weights) -> None:
    """Count a constant, unless its type is that of shapes and axes."""
    kind, count = 0, 0
    for number, value in walk.fields(tensor):
        if number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_SHAPE:
            count = elements(read_shape(walk, content(number, value)) or ())
    if kind not in _NOT_WEIGHTS and dtype_bits(kind):
        weights.add(count, dtype_bits(kind))


def _node(walk: Walk, message: memoryview) -> _Node:
    node = _Node()
    for number, value in walk.fields(message):
        if number == _NODE_NAME:
            node.name = text(value)
        elif number == _NODE_OPERATOR:
            node.operator = text(value)
        elif number == _NODE_INPUT:
            node.inputs.append(_source(text(value)))
        elif number == _NODE_ATTRIBUTE:
            _attribute(walk, content(number, value), node)
    return node


def _source(reference: str) -> str:
    """Return the node of an input: `name`, `name:1` for its second output, `^name` for a control dependency."""
    return reference.removeprefix("^").rpartition(":")[0] or reference.removeprefix("^")


def _attribute(walk: Walk, entry: memoryview, node: _Node) -> None:
    key, value = map_entry(walk, entry)
    if key in _OUTPUT_TYPES:
        node.types.update((key, part) for _, part in walk.fields(value) if isinstance(part, int))  # the type only
    elif key == "shape" and node.operator.startswith("Placeholder"):
        shape = next(walk.messages(value, _VALUE_SHAPE), None)
        node.shape = None if shape is None else read_shape(walk, shape)
    elif key == "value" and node.operator == "Const":
        node.constant = next(walk.messages(value, _VALUE_TENSOR), None)
    elif key == "_output_shapes":
        listed = next(walk.messages(value, _VALUE_LIST), memoryview(b""))
        shape = next(walk.messages(listed, _LIST_SHAPE), None)
        node.shape = None if shape is None else read_shape(walk, shape)
