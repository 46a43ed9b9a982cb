"""Converts Caffe2's init_net and predict_net to ONNX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from klever.converters.programs.caffe2_operators import OPERATORS, Node
from klever.converters.programs.caffe2_schema import NetDef, arguments
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import PROTOBUF_BYTES, only_match
from klever.converters.programs.graph import Graph
from klever.converters.programs.tensors import given

__all__ = ["convert"]

_MAX_RANK: Final = 32
_FILLS: Final = {
    "GivenTensorFill": np.float32,
    "GivenTensorIntFill": np.int32,
    "GivenTensorInt64Fill": np.int64,
    "GivenTensorDoubleFill": np.float64,
    "ConstantFill": np.float32,
}
"""numpy's type by operator of init_net."""


def convert(model: Path, output: Path, request: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """Write `model.onnx` into `output`. Raises `ConversionError`."""
    predict = _net(model, "predict_net.pb")
    init = _net(model, "init_net.pb")
    filled = {op.output[0]: _filled(op) for op in init.op}
    inputs = given(_free(predict, init), _with_shapes(request, filled))
    for tensor in inputs:
        filled.pop(tensor.name, None)
    graph = Graph(predict.name or model.name, inputs)
    values = {tensor.name: tensor.name for tensor in inputs}
    values |= {name: graph.constant(_whole(name, array), name) for name, array in filled.items()}
    _add(graph, predict, values, filled)
    missing = [name for name in predict.external_output if name not in values]
    if missing:
        raise ConversionError(f"predict_net.pb: no operator writes the output {missing[0]!r}")
    graph.save(output / "model.onnx", {name: values[name] for name in predict.external_output})


def _add(graph: Graph, net: Any, values: dict[str, str], constants: Mapping[str, NDArray[Any]]) -> None:
    """Add all operators. A net may write a tensor several times; only its last value keeps the name."""
    writes = Counter(name for op in net.op for name in op.output)
    for index, op in enumerate(net.op):
        unknown = [name for name in op.input if name not in values]
        if unknown:
            raise ConversionError(
                f"predict_net.pb: operator {index} ({op.type}) reads {unknown[0]!r}, which is not written yet"
            )
        if op.type not in OPERATORS:
            raise ConversionError(f"predict_net.pb: operator {index} ({op.type}) is not supported")
        writes.subtract(op.output)
        names = [name if not writes[name] else f"{name}_{writes[name]}" for name in op.output]
        node = Node(graph, op.type, names, arguments(op), [values[name] for name in op.input], constants)
        values |= dict(zip(op.output, OPERATORS[op.type](node), strict=False))


def _free(net: Any, init: Any) -> list[str]:
    """Return the inputs. Some exporters also fill them in init_net, but with one value, unlike weights."""
    read = {name for op in net.op for name in op.input}
    kinds = {name: _is_input(op) for op in init.op for name in op.output}
    names = [name for name in net.external_input if name in read]
    for wanted in (None, "constant", "value"):
        if found := [name for name in names if kinds.get(name) == wanted]:
            return found
    raise ConversionError("predict_net.pb has no input: init_net.pb fills all of them with weights")


def _is_input(op: Any) -> str:
    """Return how an operator of init_net fills a possible input: `constant`, `value`, or empty for weights."""
    if op.type == "ConstantFill":
        return "constant"
    return "value" if len(arguments(op).get("values") or []) == 1 else ""


def _with_shapes(request: Mapping[str, Any], filled: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Add the shapes from init_net to inputs without a shape in the signature."""
    signature = (request.get("metadata") or {}).get("signature") or {}
    inputs = {one["name"]: one for one in signature.get("inputs") or []}
    for name, array in filled.items():
        if inputs.get(name, {}).get("size") is None and array.size > 1:
            inputs[name] = {"name": name, "size": list(array.shape), "dType": array.dtype.name}
    return {"metadata": {"signature": {"inputs": list(inputs.values())}}}


def _net(model: Path, name: str) -> Any:
    path = only_match(model, name)
    try:
        return NetDef.FromString(path.read_bytes())
    except DecodeError as error:
        raise ConversionError(f"{path.name} is not a Caffe2 net: {error}") from error


def _whole(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return a weight. Raises `ConversionError` if it is too large for a file of ONNX."""
    if array.nbytes > PROTOBUF_BYTES:
        raise ConversionError(
            f"init_net.pb: {name!r} has {array.nbytes} bytes, and at most {PROTOBUF_BYTES} are supported"
        )
    return array


def _filled(op: Any) -> NDArray[Any]:
    if op.type not in _FILLS:
        raise ConversionError(f"init_net.pb: operator {op.type} of {op.output[0]!r} is not supported")
    found = arguments(op)
    shape = found.get("shape") or []
    if len(shape) > _MAX_RANK or min(shape, default=0) < 0:
        raise ConversionError(f"init_net.pb: {op.output[0]!r} has an invalid shape of {len(shape)} dimensions")
    if op.type == "ConstantFill":  # one value in memory: the shape may be that of an input
        return np.broadcast_to(np.float32(found.get("value", 0.0)), shape)
    values = np.asarray(found.get("values") or [], _FILLS[op.type])
    if values.size != np.prod(shape, dtype=np.int64):
        raise ConversionError(f"init_net.pb: {op.output[0]!r} has {values.size} values, but the shape is {list(shape)}")
    return values.reshape(shape)
