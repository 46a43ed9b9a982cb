"""The common parts of TensorFlow's formats: data types, shapes and the operators of a graph.

The numbers are those of tensorflow/core/framework/{graph,function,node_def,attr_value,tensor_shape,types}.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from klever.api.wire import Walk, content, text
from klever.errors import InvalidError

__all__ = ["Shape", "count_graph", "dtype_bits", "dtype_name", "map_entry", "read_shape"]

Shape = tuple[int, ...] | None

_GRAPH_NODE, _GRAPH_LIBRARY, _LIBRARY_FUNCTION, _FUNCTION_NODE = 1, 2, 1, 3
_NODE_OPERATOR: Final = 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_SHAPE_DIM, _SHAPE_UNKNOWN_RANK, _DIM_SIZE = 2, 3, 1
_MAX_OPERATORS: Final = 10_000

_DTYPES: Final = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64",
    9: "int64", 10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
_BITS: Final = {
    1: 32, 2: 64, 3: 32, 4: 8, 5: 16, 6: 8, 8: 64, 9: 64, 10: 8, 11: 8, 12: 8, 13: 32, 14: 16, 15: 16, 16: 16, 17: 16,
    18: 128, 19: 16, 22: 32, 23: 64, 24: 8, 25: 8,
}  # fmt: skip


def dtype_name(number: int) -> str:
    """Return the numpy name of a DataType, or `tensorflow(NUMBER)`."""
    return _DTYPES.get(number, f"tensorflow({number})")


def dtype_bits(number: int) -> int:
    """Return the bits of an element of a DataType; 0 if it is not a number."""
    return _BITS.get(number, 0)


def read_shape(walk: Walk, shape: memoryview) -> Shape:
    """Return the dimensions of a TensorShapeProto, -1 for an unknown one; None if the rank is unknown."""
    dims: list[int] = []
    for number, value in walk.fields(shape):
        if number == _SHAPE_UNKNOWN_RANK and value:
            return None
        if number == _SHAPE_DIM:
            size = 0
            for dim_number, dim in walk.fields(content(number, value)):
                if dim_number == _DIM_SIZE and isinstance(dim, int):
                    size = dim
            dims.append(-1 if size >= 1 << 63 else size)
    return tuple(dims)


def map_entry(walk: Walk, entry: memoryview) -> tuple[str, memoryview]:
    """Return key and value of an entry of a `map<string, MESSAGE>`."""
    key, value = "", memoryview(b"")
    for number, field in walk.fields(entry):
        if number == _ENTRY_KEY:
            key = text(field)
        elif number == _ENTRY_VALUE:
            value = content(number, field)
    return key, value


def count_graph(walk: Walk, graph: memoryview, layers: Counter[str]) -> None:
    """Count the operators of a GraphDef: those of its nodes, and those of its library as `function/OP`.

    TensorFlow 2 keeps most operators in the library's functions.
    """
    _count(walk, walk.messages(graph, _GRAPH_NODE), "", layers)
    for library in walk.messages(graph, _GRAPH_LIBRARY):
        for function in walk.messages(library, _LIBRARY_FUNCTION):
            _count(walk, walk.messages(function, _FUNCTION_NODE), "function/", layers)


def _count(walk: Walk, nodes: Iterable[memoryview], prefix: str, layers: Counter[str]) -> None:
    for node in nodes:
        operator = ""
        for number, value in walk.fields(node):
            if number == _NODE_OPERATOR:
                operator = text(value)
        layers[prefix + operator] += 1
        if len(layers) > _MAX_OPERATORS:
            raise InvalidError(f"it must have at most {_MAX_OPERATORS} kinds of operators")
