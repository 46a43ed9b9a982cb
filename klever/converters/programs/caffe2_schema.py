"""The messages of a Caffe2 net, with the numbers of caffe2/proto/caffe2.proto."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.messages import messages

__all__ = ["Argument", "NetDef", "OperatorDef", "arguments", "fill", "operator"]

_MESSAGES: Final = messages(
    "caffe2",
    {
        "Argument": {
            "name": (1, "string"), "f": (2, "float"), "i": (3, "int64"), "s": (4, "bytes"), "floats": (5, "float**"),
            "ints": (6, "int64*"), "strings": (7, "bytes*"),
        },
        "OperatorDef": {
            "input": (1, "string*"), "output": (2, "string*"), "name": (3, "string"), "type": (4, "string"),
            "arg": (5, "Argument*"),
        },
        "NetDef": {
            "name": (1, "string"), "op": (2, "OperatorDef*"), "type": (3, "string"), "arg": (6, "Argument*"),
            "external_input": (7, "string*"), "external_output": (8, "string*"),
        },
    },
)  # fmt: skip
Argument, OperatorDef, NetDef = _MESSAGES["Argument"], _MESSAGES["OperatorDef"], _MESSAGES["NetDef"]


def arguments(op: Any) -> dict[str, Any]:
    """Return the arguments of an operator by name: a number, text, or a list."""
    return {argument.name: _value(argument) for argument in op.arg}


def operator(kind: str, inputs: list[str], outputs: list[str], **values: Any) -> Any:
    """Make an operator. A value is an int, a float, text, or a list of ints; None is omitted."""
    op = OperatorDef(type=kind, input=inputs, output=outputs, name=outputs[0])
    for name, value in values.items():
        if value is not None:
            field = {int: "i", float: "f", bytes: "s", list: "ints"}[type(value)]
            op.arg.append(Argument(name=name, **{field: value}))
    return op


def fill(name: str, array: NDArray[Any]) -> Any:
    """Make the operator of init_net that fills a tensor with values."""
    op = operator("GivenTensorFill", [], [name], shape=list(array.shape))
    op.arg.append(Argument(name="values", floats=array.astype(np.float32).ravel()))
    return op


def _value(argument: Any) -> Any:
    for field in ("f", "i", "s"):
        if argument.HasField(field):
            value = getattr(argument, field)
            return value.decode(errors="replace") if field == "s" else value
    return next(
        (list(getattr(argument, field)) for field in ("floats", "ints", "strings") if getattr(argument, field)), []
    )
