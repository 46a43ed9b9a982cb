"""Caffe2 NetDef: the external inputs and outputs of predict_net.pb, and its operators.

Both nets are walked in place. The numbers are those of caffe2/proto/caffe2.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from klever.api.wire import Field, Walk, content, text, varints
from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.files import any_match, map_file, only_match
from klever.formats.signature import Signature, Tensor
from klever.formats.weights import Weights, elements

__all__ = ["read_signature"]

_LIMIT: Final = 2 << 30
_MAX_OPERATORS: Final = 10_000
_MAX_RANK: Final = 64
_NET_OPERATOR, _NET_INPUT, _NET_OUTPUT = 2, 7, 8
_OPERATOR_INPUT, _OPERATOR_OUTPUT, _OPERATOR_TYPE, _OPERATOR_ARGUMENT = 1, 2, 4, 5
_ARGUMENT_NAME, _ARGUMENT_INT, _ARGUMENT_FLOATS, _ARGUMENT_INTS = 1, 3, 5, 6
_FLOAT_BYTES: Final = 4
_UNPACKED_BYTES: Final = 1 + _FLOAT_BYTES
_NAME_BYTES: Final = 2 + len("values")
_WITH_WEIGHTS: Final = frozenset(
    {"Conv", "ConvTranspose", "FC", "InstanceNorm", "Int8Conv", "Int8FC", "LayerNorm", "PRelu", "SpatialBN"}
)
"""Operators whose inputs after the first are weights, to distinguish them from inputs if init_net is missing."""

_DTYPES: Final = {
    1: "float32", 2: "int32", 3: "uint8", 4: "string", 5: "bool", 6: "uint8", 7: "int8", 8: "uint16", 9: "int16",
    10: "int64", 12: "float16", 13: "float64",
}  # fmt: skip
"""TensorProto.DataType"""
_BITS: Final = {"GivenTensorInt64Fill": 64, "GivenTensorDoubleFill": 64, "GivenTensorByteStringToUInt8Fill": 8}
"""Bits of the elements that an operator fills, if they are not floats."""


def read_signature(model_dir: Path) -> Signature:
    """Read the signature: inputs are the external inputs that init_net does not fill with weights.

    Some exporters also fill the inputs in init_net, with a constant or one value. These count as inputs if there is no
    other input.
    """
    init = any_match(model_dir, "init_net.pb", _LIMIT)
    predict = only_match(model_dir, "predict_net.pb", _LIMIT)
    walk, fills = Walk(), _Fills()
    if init:
        with _named(init):
            fills.read(walk, map_file(init))
    with _named(predict):
        signature = _read(walk, map_file(predict), fills)
    if not init:
        return signature
    weights = fills.weights
    return replace(signature, details=Details(parameters=weights.parameters, parameter_bytes=weights.bytes))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the file's name to errors of an invalid net."""
    try:
        yield
    except InvalidError as error:
        raise InvalidError(f"{path.name} is not a Caffe2 net: {error.message}", reason=error.reason) from error


def _read(walk: Walk, net: memoryview, fills: _Fills) -> Signature:
    inputs, outputs, layers, weights = [], [], Counter[str](), set[str]()
    for number, value in walk.fields(net):
        if number == _NET_INPUT:
            inputs.append(text(value))
        elif number == _NET_OUTPUT:
            outputs.append(text(value))
        elif number == _NET_OPERATOR:
            kind = _type(walk, content(number, value))
            layers[kind] += 1
            if kind in _WITH_WEIGHTS and not fills.names:
                weights.update(map(text, islice(walk.messages(content(number, value), _OPERATOR_INPUT), 1, None)))
            if len(layers) > _MAX_OPERATORS:
                raise InvalidError(f"it must have at most {_MAX_OPERATORS} kinds of operators")
    if not layers:
        raise InvalidError("it must have operators")
    given = [name for name in inputs if name not in fills.names and name not in weights]
    free = [name for name in given if name not in fills.tensors] or given
    return Signature(
        tuple(fills.tensors.get(name, Tensor(name)) for name in free),
        tuple(map(Tensor, outputs)),
        dict(sorted(layers.items())),
    )


class _Fills:
    """The tensors that the operators of init_net fill."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        """Possible inputs."""
        self.names: set[str] = set()
        """Weights."""
        self.weights = Weights()

    def read(self, walk: Walk, net: memoryview) -> None:
        for operator in walk.messages(net, _NET_OPERATOR):
            self._fill(walk, operator)

    def _fill(self, walk: Walk, operator: memoryview) -> None:
        name = next((text(value) for value in walk.messages(operator, _OPERATOR_OUTPUT)), "")
        kind = _type(walk, operator)
        size: tuple[int, ...] | None = None
        dtype, values = 1, 0
        for key, number, value in _arguments(walk, operator):
            if key == "shape" and number == _ARGUMENT_INTS:
                size = (*(size or ()), *varints(value, _MAX_RANK))
            elif key == "dtype" and number == _ARGUMENT_INT and isinstance(value, int):
                dtype = value
            elif key == "values" and number == _ARGUMENT_FLOATS and isinstance(value, int):
                values = value
            elif key == "values" and number == _ARGUMENT_FLOATS:
                values += len(content(number, value)) // _FLOAT_BYTES
        if kind == "ConstantFill" or values == 1:
            # One value stands for an input of any shape.
            self.tensors[name] = Tensor(name, size if kind == "ConstantFill" else None, _dtype(dtype))
        else:
            self.names.add(name)
            self.weights.add(elements(size) if size else values, _BITS.get(kind, 8 * _FLOAT_BYTES))


def _dtype(number: int) -> str:
    return _DTYPES.get(number, f"caffe2({number})")


def _arguments(walk: Walk, operator: memoryview) -> Iterator[tuple[str, int, Field]]:
    """Yield the fields of an operator's arguments, after the argument's name.

    Caffe2 writes each float of `values` as a field. They are many, so they come as one field: their number.
    """
    for argument in walk.messages(operator, _OPERATOR_ARGUMENT):
        name = ""
        for number, value in walk.fields(argument):
            if number == _ARGUMENT_NAME:
                name = text(value)
            elif name == "values" and number == _ARGUMENT_FLOATS and isinstance(value, int):
                yield name, number, (len(argument) - _NAME_BYTES) // _UNPACKED_BYTES
                break
            elif name in ("shape", "dtype", "values"):
                yield name, number, value


def _type(walk: Walk, operator: memoryview) -> str:
    return next((text(value) for value in walk.messages(operator, _OPERATOR_TYPE)), "")
