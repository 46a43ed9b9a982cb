"""Operators of MXNet and Caffe2 whose attributes change the result."""

from __future__ import annotations

from typing import Any

import pytest

from klever.converters.programs import caffe2_operators, mxnet_operators
from klever.converters.programs.errors import ConversionError


class Recorder:
    """A graph that notes the operators and the numbers of their inputs."""

    def __init__(self) -> None:
        self.added: list[tuple[str, int]] = []

    def add(self, op: str, *inputs: str, **_: Any) -> str:
        self.added.append((op, len(inputs)))
        return "y"

    def constant(self, *_: Any) -> str:
        return "c"


def mxnet(op: str, **attributes: str) -> list[tuple[str, int]]:
    graph: Any = Recorder()
    mxnet_operators.OPERATORS[op](mxnet_operators.Node(graph, op, "n", attributes, ("a", "b"), {}))
    return list(graph.added)


def caffe2(op: str, **arguments: Any) -> list[tuple[str, int]]:
    graph: Any = Recorder()
    caffe2_operators.OPERATORS[op](caffe2_operators.Node(graph, op, ("y",), arguments, ("a", "b"), {}))
    return list(graph.added)


@pytest.mark.parametrize("attribute", ["transpose_a", "transpose_b"])
def test_a_transposed_dot_of_mxnet_is_refused(attribute: str) -> None:
    assert mxnet("dot", **{attribute: "False"}) == [("MatMul", 2)]
    with pytest.raises(ConversionError):
        mxnet("dot", **{attribute: "True"})


@pytest.mark.parametrize(("op", "argument"), [("MatMul", "trans_a"), ("MatMul", "trans_b"), ("Concat", "add_axis")])
def test_arguments_of_caffe2_that_the_translation_ignores_are_refused(op: str, argument: str) -> None:
    assert caffe2(op, **{argument: 0}) == [(op, 2)]
    with pytest.raises(ConversionError):
        caffe2(op, **{argument: 1})


@pytest.mark.parametrize(("attributes", "inputs"), [({}, 1), ({"axis": "1"}, 2), ({"axis": "(2, 3)"}, 2)])
def test_squeeze_of_mxnet_takes_no_axis_or_several(attributes: dict[str, str], inputs: int) -> None:
    assert mxnet("squeeze", **attributes) == [("Squeeze", inputs)]
