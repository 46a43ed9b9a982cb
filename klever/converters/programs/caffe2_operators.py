"""Translates each operator of Caffe2 to ONNX: a function of `Node` adds nodes and returns the outputs' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.graph import Graph

__all__ = ["OPERATORS", "Node"]

_CAFFE_LEGACY_POOLING: Final = 3
"""caffe2/proto/caffe2_legacy.proto: as in Caffe, the last window may extend beyond the input."""
_CHANNELS: Final = 1


@dataclass(frozen=True)
class Node:
    """An operator of the net. `constants` are the tensors that init_net fills, by name."""

    graph: Graph
    op: str
    outputs: Sequence[str]
    arguments: Mapping[str, Any]
    inputs: Sequence[str]
    constants: Mapping[str, NDArray[Any]]

    def get(self, name: str, default: Any) -> Any:
        return self.arguments.get(name, default)

    def error(self, message: str) -> ConversionError:
        return ConversionError(f"{self.op} that writes {self.outputs[0]!r}: {message}")

    def add(self, op: str, *inputs: str, final: bool = True, **attributes: Any) -> str:
        """Add an ONNX node. The last node of an operator has the name of the operator's output."""
        name = self.outputs[0] if final else f"{self.outputs[0]}_{op.lower()}"
        return self.graph.add(op, *inputs, name=name, **attributes)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        return self.graph.constant(np.asarray(value, dtype), f"{self.outputs[0]}_constant")

    def pair(self, plural: str, both: str, one: str, default: int) -> list[int]:
        """Return height and width: Caffe2 writes kernels=[3, 3], kernel=3, or kernel_h=3 and kernel_w=3."""
        if self.get(plural, []):
            return list(self.arguments[plural])
        same = self.get(both, default)
        return [self.get(f"{one}_h", same), self.get(f"{one}_w", same)]

    def pads(self) -> list[int]:
        if self.get("pads", []):
            return list(self.arguments["pads"])
        same = self.get("pad", 0)
        return [self.get(f"pad_{side}", same) for side in "tlbr"]

    def images_only(self) -> None:
        """Raise `ConversionError` for the order NHWC."""
        if self.get("order", "NCHW") != "NCHW":
            raise self.error(f"order={self.get('order', '')} is not supported: export the net as NCHW")


Operator = Callable[[Node], list[str]]


def _same(op: str, **attributes: Any) -> Operator:
    return lambda node: [node.add(op, *node.inputs, **attributes)]


def _first(op: str) -> Operator:
    return lambda node: [node.add(op, node.inputs[0])]


def _without(operator: Operator, *attributes: str) -> Operator:
    """Refuse attributes that change the result, and that the translation ignores."""

    def add(node: Node) -> list[str]:
        for name in attributes:
            if node.get(name, False):
                raise node.error(f"{name} is not supported")
        return operator(node)

    return add


def _convolution(node: Node) -> list[str]:
    node.images_only()
    transposed = node.op == "ConvTranspose"
    return [
        node.add(
            node.op,
            *node.inputs,
            kernel_shape=node.pair("kernels", "kernel", "kernel", 1),
            strides=node.pair("strides", "stride", "stride", 1),
            dilations=node.pair("dilations", "dilation", "dilation", 1),
            pads=node.pads(),
            group=node.get("group", 1),
            output_padding=node.pair("adjs", "adj", "adj", 0) if transposed else None,
        )
    ]


def _pool(node: Node) -> list[str]:
    node.images_only()
    if node.get("global_pooling", 0):
        return [node.add(f"Global{node.op}", node.inputs[0])]
    legacy = node.get("legacy_pad", 0)
    if legacy not in (0, _CAFFE_LEGACY_POOLING):
        raise node.error(f"legacy_pad={legacy} is not supported")
    average = node.op == "AveragePool"
    return [
        node.add(
            node.op,
            node.inputs[0],
            kernel_shape=node.pair("kernels", "kernel", "kernel", 1),
            strides=node.pair("strides", "stride", "stride", 1),
            pads=node.pads(),
            ceil_mode=int(legacy == _CAFFE_LEGACY_POOLING),
            count_include_pad=int(bool(node.get("count_include_pad", legacy == _CAFFE_LEGACY_POOLING)))
            if average
            else None,
        )
    ]


def _spatial_bn(node: Node) -> list[str]:
    node.images_only()
    return [node.add("BatchNormalization", *node.inputs[:5], epsilon=float(node.get("epsilon", 1e-5)))]


def _fully_connected(node: Node) -> list[str]:
    if (node.get("axis", 1), node.get("axis_w", 1)) != (1, 1):
        raise node.error("an axis other than 1 is not supported")
    data, weight, bias = node.inputs
    if node.graph.rank(weight) != 2:  # Caffe once wrote them as four dimensions
        weight = node.graph.constant(node.constants[weight].reshape(node.constants[bias].size, -1), f"{weight}_matrix")
    flat = node.add("Flatten", data, final=False, axis=1)
    return [node.add("Gemm", flat, weight, bias, transB=int(node.op == "FC"))]


def _arithmetic(op: str) -> Operator:
    """Translate a binary operator. With `broadcast`, the second tensor's dimensions begin at `axis` of the first."""

    def add(node: Node) -> list[str]:
        first, second = node.inputs[:2]
        if node.get("broadcast", 0) and node.get("axis", -1) >= 0:
            begin = node.get("axis", 0) + node.graph.rank(second)
            axes = list(range(node.graph.rank(second), node.graph.rank(first) - begin + node.graph.rank(second)))
            if axes:
                second = node.add("Unsqueeze", second, node.constant(axes, np.int64), final=False)
        return [node.add(op, first, second)]

    return add


def _concat(node: Node) -> list[str]:
    default = 1 if node.get("order", "NCHW") == "NCHW" else 3
    return [node.add("Concat", *node.inputs, axis=node.get("axis", default))]


def _split(node: Node) -> list[str]:
    axis, sizes = node.get("axis", _CHANNELS), node.get("split", [])
    if sizes:
        lengths = node.constant(sizes, np.int64)
        return node.graph.split("Split", node.inputs[0], lengths, names=node.outputs, axis=axis)
    return node.graph.split("Split", node.inputs[0], names=node.outputs, axis=axis, num_outputs=len(node.outputs))


def _softmax(node: Node) -> list[str]:
    axis = node.get("axis", 1)
    if axis != 1:
        return [node.add("Softmax", node.inputs[0], axis=axis)]
    # Caffe2 flattens to two dimensions. A reshape restores the shape of the input.
    flat = node.add("Flatten", node.inputs[0], final=False, axis=1)
    shape = node.add("Shape", node.inputs[0], final=False)
    return [node.add("Reshape", node.add("Softmax", flat, final=False, axis=1), shape)]


def _lrn(node: Node) -> list[str]:
    node.images_only()
    values = {
        name: float(node.get(name, default)) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    }
    return [node.add("LRN", node.inputs[0], final=True, size=node.get("size", 5), **values)]


def _reshape(node: Node) -> list[str]:
    shape = node.get("shape", [])
    if not shape:
        raise node.error("a computed shape is not supported")
    return [node.add("Reshape", node.inputs[0], node.constant(shape, np.int64))]


def _prelu(node: Node) -> list[str]:
    data, slope = node.inputs
    if slope in node.constants and node.constants[slope].size > 1:
        slope = node.graph.constant(node.constants[slope].reshape(-1, 1, 1), f"{slope}_shaped")
    return [node.add("PRelu", data, slope)]


def _clip(node: Node) -> list[str]:
    bounds = [node.constant(float(node.arguments[key])) if key in node.arguments else "" for key in ("min", "max")]
    return [node.add("Clip", node.inputs[0], *bounds)]


def _scale(node: Node) -> list[str]:
    return [node.add("Mul", node.inputs[0], node.constant(float(node.get("scale", 1.0))))]


def _pow(node: Node) -> list[str]:
    exponent = node.inputs[1] if len(node.inputs) > 1 else node.constant(float(node.get("exponent", 1.0)))
    return [node.add("Pow", node.inputs[0], exponent)]


def _transpose(node: Node) -> list[str]:
    return [node.add("Transpose", node.inputs[0], perm=node.get("axes", None) or None)]


def _resize(node: Node) -> list[str]:
    scales = [1.0, 1.0, float(node.get("height_scale", 1.0)), float(node.get("width_scale", 1.0))]
    mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return [node.add("Resize", node.inputs[0], "", node.constant(scales), final=True, **mode)]


def _reduce_mean(node: Node) -> list[str]:
    axes = node.get("axes", [])
    return [
        node.add(
            "ReduceMean",
            node.inputs[0],
            *([node.constant(axes, np.int64)] if axes else []),
            keepdims=node.get("keepdims", 1),
        )
    ]


OPERATORS: Final[Mapping[str, Operator]] = {
    "Abs": _same("Abs"),
    "Add": _arithmetic("Add"),
    "AveragePool": _pool,
    "Clip": _clip,
    "Concat": _without(_concat, "add_axis"),
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Copy": _first("Identity"),
    "Div": _arithmetic("Div"),
    "Dropout": _first("Identity"),
    "Elu": lambda node: [node.add("Elu", node.inputs[0], alpha=float(node.get("alpha", 1.0)))],
    "Exp": _same("Exp"),
    "FC": _fully_connected,
    "FCTransposed": _fully_connected,
    "Flatten": lambda node: [node.add("Flatten", node.inputs[0], axis=node.get("axis", 1))],
    "LRN": _lrn,
    "LeakyRelu": lambda node: [node.add("LeakyRelu", node.inputs[0], alpha=float(node.get("alpha", 0.01)))],
    "Log": _same("Log"),
    "MatMul": _without(_same("MatMul"), "trans_a", "trans_b"),
    "Max": _same("Max"),
    "MaxPool": _pool,
    "Mul": _arithmetic("Mul"),
    "Negative": _same("Neg"),
    "PRelu": _prelu,
    "Pow": _pow,
    "ReduceMean": _reduce_mean,
    "Relu": _same("Relu"),
    "Reshape": _reshape,
    "ResizeNearest": _resize,
    "Scale": _scale,
    "Sigmoid": _same("Sigmoid"),
    "Softmax": _softmax,
    "SpatialBN": _spatial_bn,
    "Split": _split,
    "Sqrt": _same("Sqrt"),
    "StopGradient": _first("Identity"),
    "Sub": _arithmetic("Sub"),
    "Sum": _same("Sum"),
    "Tanh": _same("Tanh"),
    "Transpose": _transpose,
}
