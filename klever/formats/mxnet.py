"""MXNet: the variables and heads of *symbol.json, its operators, and the names in *.params.

The symbol is NNVM's JSON (src/pass/saveload_json.cc); the parameters are a list of NDArrays (src/ndarray/ndarray.cc,
NDArray::Save). Weights are skipped, not read.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

from klever.errors import InvalidError
from klever.formats.files import only_match
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

_SYMBOL_LIMIT: Final = 16 << 20
_PARAMS_LIMIT: Final = 16 << 30
_MAX_ARRAYS: Final = 100_000
_MAX_NAME: Final = 4096
_MAX_RANK: Final = 32
_LIST_MAGIC: Final = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DENSE: Final = 0
_TYPES: Final = (
    ("float32", 4), ("float64", 8), ("float16", 2), ("uint8", 1), ("int32", 4), ("int8", 1), ("int64", 8), ("bool", 1),
    ("int16", 2), ("uint16", 2), ("uint32", 4), ("uint64", 8), ("bfloat16", 2),
)  # fmt: skip
"""mshadow/base.h: name and bytes by type flag."""


def read_signature(model_dir: Path) -> Signature:
    """Read it: inputs are the variables without parameters, but for the labels of a training loss."""
    symbol = only_match(model_dir, "*symbol.json", _SYMBOL_LIMIT)
    params = only_match(model_dir, "*.params", _PARAMS_LIMIT)
    try:
        with params.open("rb") as file:
            known = _names(file, params.stat().st_size)
    except (InvalidError, struct.error) as error:
        raise InvalidError(f"{params.name} is not a list of MXNet parameters: {error}") from error
    try:
        return _read(json.loads(symbol.read_bytes()), known)
    except InvalidError as error:
        raise InvalidError(f"{symbol.name} is not an MXNet symbol: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{symbol.name} is not JSON: {error}") from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidError(f"{symbol.name} is not an MXNet symbol: {type(error).__name__} {error}") from error


def _read(symbol: Any, known: set[str]) -> Signature:
    nodes = symbol["nodes"]
    labels = {str(nodes[source[0]]["name"]) for node in nodes for source in _label(node)}
    inputs = [
        _variable(node)
        for node in nodes
        if node["op"] == "null" and node["name"] not in known and node["name"] not in labels
    ]
    layers = Counter(str(node["op"]) for node in nodes if node["op"] != "null")
    outputs = [_output(nodes[head[0]], int(head[1])) for head in symbol["heads"]]
    return Signature(tuple(inputs), tuple(outputs), dict(sorted(layers.items())))


def _label(node: Any) -> list[list[int]]:
    """Return the sources of a loss's label: the second input of SoftmaxOutput and its kin."""
    is_loss = str(node["op"]).endswith(("Output", "RegressionOutput")) and len(node["inputs"]) == 2
    return [node["inputs"][1]] if is_loss else []


def _variable(node: Any) -> Tensor:
    attributes = node.get("attrs") or node.get("attr") or node.get("param") or {}
    size = None
    if "__shape__" in attributes:
        dims = str(attributes["__shape__"]).strip("()[] ").split(",")
        size = tuple(int(dim) or -1 for dim in dims if dim.strip())
    flag = int(attributes.get("__dtype__", 0))
    return Tensor(str(node["name"]), size, _TYPES[flag][0] if 0 <= flag < len(_TYPES) else f"mxnet({flag})")


def _output(node: Any, index: int) -> Tensor:
    """Name a head as MXNet does: a variable by its name, a result by its operator's name and number."""
    if node["op"] == "null":
        return _variable(node)
    return Tensor(f"{node['name']}_output{index or ''}")


def _names(file: BinaryIO, size: int) -> set[str]:
    """Return the names of the parameters, without `arg:` and `aux:`."""
    magic, _, count = _unpack(file, "QQQ")
    if magic != _LIST_MAGIC:
        raise InvalidError(f"it begins with {magic:#x}, not {_LIST_MAGIC:#x}")
    if count > _MAX_ARRAYS:
        raise InvalidError(f"it has {count} arrays, and at most {_MAX_ARRAYS} are read")
    for _ in range(count):
        _skip_array(file)
        if file.tell() > size:
            raise InvalidError("it ends within an array")
    names = set()
    (count,) = _unpack(file, "Q")
    if count > _MAX_ARRAYS:
        raise InvalidError(f"it has {count} names, and at most {_MAX_ARRAYS} are read")
    for _ in range(count):
        (length,) = _unpack(file, "Q")
        if length > _MAX_NAME:
            raise InvalidError(f"a name has {length} bytes, and at most {_MAX_NAME} are read")
        name = file.read(length).decode(errors="replace")
        names.add(name.removeprefix("arg:").removeprefix("aux:"))
    return names


def _skip_array(file: BinaryIO) -> None:
    (magic,) = _unpack(file, "I")
    if magic in (_V2, _V3):
        (storage,) = _unpack(file, "i")
        if storage != _DENSE:
            raise InvalidError("it has a sparse array")
    shape = _shape(file, magic)
    if shape is None:
        return
    _, _, flag = _unpack(file, "iii")  # the device's type and number, the type of the elements
    if not 0 <= flag < len(_TYPES):
        raise InvalidError(f"it has an array of the unknown type {flag}")
    file.seek(prod(shape) * _TYPES[flag][1], 1)


def _shape(file: BinaryIO, magic: int) -> tuple[int, ...] | None:
    """Return an array's shape; None for an array without content."""
    if magic in (_V1, _V2, _V3):
        (rank,) = _unpack(file, "i")
        layout = "q"
    else:  # before version 1 the rank came first
        rank, layout = magic, "I"
    if rank == -1 or (rank == 0 and magic != _V3):
        return None
    if not 0 <= rank <= _MAX_RANK:
        raise InvalidError(f"it has an array of rank {rank}")
    shape = _unpack(file, layout * rank) if rank else ()
    if any(dim < 0 for dim in shape) or prod(shape) > _PARAMS_LIMIT:
        raise InvalidError(f"it has an array of shape {list(shape)}")
    return shape


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    content = file.read(struct.calcsize(f"<{layout}"))
    return struct.unpack(f"<{layout}", content)
