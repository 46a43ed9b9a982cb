"""Caffe2 NetDef: the external inputs and outputs of predict_net.pb, and its operators.

Both nets are walked in place. The numbers are those of caffe2/proto/caffe2.proto.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from klever.api.wire import Field, Walk, content, text, varints
from klever.errors import InvalidError
from klever.formats.files import map_file, only_match
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

_LIMIT: Final = 2 << 30
_MAX_OPERATORS: Final = 10_000
_MAX_RANK: Final = 64
_NET_OPERATOR, _NET_INPUT, _NET_OUTPUT = 2, 7, 8
_OPERATOR_OUTPUT, _OPERATOR_TYPE, _OPERATOR_ARGUMENT = 2, 4, 5
_ARGUMENT_NAME, _ARGUMENT_INT, _ARGUMENT_FLOATS, _ARGUMENT_INTS = 1, 3, 5, 6
_FLOAT_BYTES: Final = 4

_DTYPES: Final = {
    1: "float32", 2: "int32", 3: "uint8", 4: "string", 5: "bool", 6: "uint8", 7: "int8", 8: "uint16", 9: "int16",
    10: "int64", 12: "float16", 13: "float64",
}  # fmt: skip
"""TensorProto.DataType"""


def read_signature(model_dir: Path) -> Signature:
    """Read it: inputs are the external inputs that init_net does not fill with weights.

    Exporters let init_net fill the inputs as well, with a constant or with one value; these count as inputs if no
    other input is left.
    """
    init = only_match(model_dir, "init_net.pb", _LIMIT)
    predict = only_match(model_dir, "predict_net.pb", _LIMIT)
    walk = Walk()
    with_name = init.name
    try:
        filled, weights = _filled(walk, map_file(init))
        with_name = predict.name
        return _read(walk, map_file(predict), filled, weights)
    except InvalidError as error:
        raise InvalidError(f"{with_name} is not a Caffe2 net: {error.message}", reason=error.reason) from error


def _read(walk: Walk, net: memoryview, filled: dict[str, Tensor], weights: set[str]) -> Signature:
    inputs, outputs, layers = [], [], Counter[str]()
    for number, value in walk.fields(net):
        if number == _NET_INPUT:
            inputs.append(text(value))
        elif number == _NET_OUTPUT:
            outputs.append(text(value))
        elif number == _NET_OPERATOR:
            layers[_type(walk, content(number, value))] += 1
            if len(layers) > _MAX_OPERATORS:
                raise InvalidError(f"it has more than {_MAX_OPERATORS} kinds of operators")
    if not layers:
        raise InvalidError("it has no operators")
    given = [name for name in inputs if name not in weights]
    free = [name for name in given if name not in filled] or given
    return Signature(
        tuple(filled.get(name, Tensor(name)) for name in free),
        tuple(map(Tensor, outputs)),
        dict(sorted(layers.items())),
    )


def _filled(walk: Walk, net: memoryview) -> tuple[dict[str, Tensor], set[str]]:
    """Return what init_net fills: the tensors that may be inputs, and the names of weights."""
    filled, weights = {}, set()
    for operator in walk.messages(net, _NET_OPERATOR):
        name = next((text(value) for value in walk.messages(operator, _OPERATOR_OUTPUT)), "")
        constant = _type(walk, operator) == "ConstantFill"
        size: tuple[int, ...] | None = None
        dtype, values = 1, 0
        for key, number, value in _arguments(walk, operator):
            if key == "shape" and number == _ARGUMENT_INTS:
                size = (*(size or ()), *varints(value, _MAX_RANK))
            elif key == "dtype" and number == _ARGUMENT_INT and isinstance(value, int):
                dtype = value
            elif key == "values" and number == _ARGUMENT_FLOATS:
                values += 1 if isinstance(value, int) else len(value) // _FLOAT_BYTES
        if constant or values == 1:
            # One value stands for an input of any shape.
            filled[name] = Tensor(name, size if constant else None, _DTYPES.get(dtype, f"caffe2({dtype})"))
        else:
            weights.add(name)
    return filled, weights


def _arguments(walk: Walk, operator: memoryview) -> Iterator[tuple[str, int, Field]]:
    """Yield the fields of an operator's arguments, with the argument's name, which comes first."""
    for argument in walk.messages(operator, _OPERATOR_ARGUMENT):
        name = ""
        for number, value in walk.fields(argument):
            if number == _ARGUMENT_NAME:
                name = text(value)
            elif name in ("shape", "dtype", "values"):
                yield name, number, value


def _type(walk: Walk, operator: memoryview) -> str:
    return next((text(value) for value in walk.messages(operator, _OPERATOR_TYPE)), "")
