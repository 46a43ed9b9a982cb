"""Translates each operator of MXNet to ONNX: a function of `Node` adds nodes and returns the outputs' names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.errors import ConversionError
from klever.converters.programs.graph import Graph

__all__ = ["OPERATORS", "Node"]


@dataclass(frozen=True)
class Node:
    """A node of the symbol. `attributes` are text, as in the file; `params` are the model's arrays by name."""

    graph: Graph
    op: str
    name: str
    attributes: Mapping[str, str]
    inputs: Sequence[str]
    params: Mapping[str, NDArray[Any]]

    def get(self, key: str, default: Any) -> Any:
        """Return an attribute's value with the type of `default`. Raises `ConversionError`."""
        text = str(self.attributes.get(key, ""))
        if text in ("", "None"):
            return default
        if isinstance(default, str):
            return text
        try:
            return ast.literal_eval(text.replace("L", ""))
        except (ValueError, SyntaxError) as error:
            raise self.error(f"invalid value {key}={text!r}") from error

    def ints(self, key: str, default: Sequence[int]) -> list[int]:
        value = self.get(key, tuple(default))
        return [value] * len(default) if isinstance(value, int) else list(value)

    def error(self, message: str) -> ConversionError:
        return ConversionError(f"{self.op} of node {self.name!r}: {message}")

    def add(self, op: str, *inputs: str, final: bool = True, **attributes: Any) -> str:
        """Add an ONNX node. The last node of an operator has MXNet's name of the output."""
        return self.graph.add(op, *inputs, name=f"{self.name}_output" if final else self.name, **attributes)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        return self.graph.constant(np.asarray(value, dtype), f"{self.name}_constant")

    def weights(self, index: int) -> NDArray[Any]:
        """Return the array of an input that must be a parameter. Raises `ConversionError`."""
        if self.inputs[index] not in self.params:
            raise self.error(f"its input {self.inputs[index]!r} must be a parameter")
        return self.params[self.inputs[index]]


Operator = Callable[[Node], list[str]]


def _same(op: str, **attributes: Any) -> Operator:
    """Translate an operator that ONNX has with the same inputs."""
    return lambda node: [node.add(op, *node.inputs, **attributes)]


def _without(operator: Operator, *attributes: str) -> Operator:
    """Refuse attributes that change the result, and that the translation ignores."""

    def add(node: Node) -> list[str]:
        for name in attributes:
            if node.get(name, False):
                raise node.error(f"{name} is not supported")
        return operator(node)

    return add


def _scalar(op: str, *, reverse: bool = False) -> Operator:
    def add(node: Node) -> list[str]:
        pair = [node.inputs[0], node.constant(node.get("scalar", 0.0))]
        return [node.add(op, *(reversed(pair) if reverse else pair))]

    return add


def _convolution(node: Node) -> list[str]:
    kernel = node.ints("kernel", ())
    ones, zeros = [1] * len(kernel), [0] * len(kernel)
    pads, transposed = node.ints("pad", zeros), node.op == "Deconvolution"
    biased = node.inputs[: 2 if node.get("no_bias", transposed) else 3]
    if transposed and node.ints("target_shape", zeros) != zeros:
        raise node.error("target_shape is not supported")
    adjusted = node.ints("adj", zeros) if transposed else None
    return [
        node.add(
            "ConvTranspose" if transposed else "Conv",
            *biased,
            kernel_shape=kernel,
            strides=node.ints("stride", ones),
            dilations=node.ints("dilate", ones),
            pads=pads * 2,
            group=node.get("num_group", 1),
            output_padding=adjusted,
        )
    ]


def _batch_norm(node: Node) -> list[str]:
    if node.get("axis", 1) != 1:
        raise node.error("only axis=1 is supported")
    gamma = node.inputs[1]
    if node.get("fix_gamma", True):
        gamma = node.graph.constant(np.ones_like(node.weights(1)), f"{gamma}_fixed")
    data, _, beta, mean, variance = node.inputs
    return [node.add("BatchNormalization", data, gamma, beta, mean, variance, epsilon=node.get("eps", 1e-3))]


def _pooling(node: Node) -> list[str]:
    kind = node.get("pool_type", "max")
    if kind not in ("max", "avg"):
        raise node.error(f"pool_type={kind} is not supported")
    op = {"max": "MaxPool", "avg": "AveragePool"}[kind]
    if node.get("global_pool", False):
        return [node.add(f"Global{op}", node.inputs[0])]
    convention = node.get("pooling_convention", "valid")
    if convention not in ("valid", "full"):
        raise node.error(f"pooling_convention={convention} is not supported")
    kernel = node.ints("kernel", ())
    return [
        node.add(
            op,
            node.inputs[0],
            kernel_shape=kernel,
            strides=node.ints("stride", [1] * len(kernel)),
            pads=node.ints("pad", [0] * len(kernel)) * 2,
            ceil_mode=int(convention == "full"),
            count_include_pad=int(node.get("count_include_pad", True)) if kind == "avg" else None,
        )
    ]


def _fully_connected(node: Node) -> list[str]:
    data, weight, *bias = node.inputs[: 2 if node.get("no_bias", False) else 3]
    if node.get("flatten", True):
        return [node.add("Gemm", node.add("Flatten", data, final=False, axis=1), weight, *bias, transB=1)]
    product = node.add("MatMul", data, node.add("Transpose", weight, final=False, perm=[1, 0]), final=not bias)
    return [node.add("Add", product, *bias) if bias else product]


def _activation(node: Node) -> list[str]:
    kinds = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}
    kind = node.get("act_type", "")
    if kind not in kinds:
        raise node.error(f"act_type={kind} is not supported")
    return [node.add(kinds[kind], node.inputs[0])]


def _leaky_relu(node: Node) -> list[str]:
    kind, slope = node.get("act_type", "leaky"), node.get("slope", 0.25)
    if kind == "prelu":
        weights = node.weights(1)
        shaped = node.graph.constant(weights.reshape(-1, 1, 1), f"{node.inputs[1]}_shaped")
        return [node.add("PRelu", node.inputs[0], shaped)]
    if kind not in ("leaky", "elu"):
        raise node.error(f"act_type={kind} is not supported")
    return [node.add({"leaky": "LeakyRelu", "elu": "Elu"}[kind], node.inputs[0], alpha=float(slope))]


def _softmax(node: Node) -> list[str]:
    if node.get("temperature", 1.0) not in (1.0, 1):
        raise node.error("temperature is not supported")
    return [node.add("Softmax", node.inputs[0], axis=node.get("axis", -1))]


def _softmax_output(node: Node) -> list[str]:
    preserved = node.get("preserve_shape", False)
    return [node.add("Softmax", node.inputs[0], axis=-1 if preserved else 1)]


def _softmax_activation(node: Node) -> list[str]:
    if node.get("mode", "instance") == "channel":
        return [node.add("Softmax", node.inputs[0], axis=1)]
    return [node.add("Softmax", node.add("Flatten", node.inputs[0], final=False, axis=1), axis=1)]


def _lrn(node: Node) -> list[str]:
    return [
        node.add(
            "LRN",
            node.inputs[0],
            size=node.get("nsize", 5),
            alpha=float(node.get("alpha", 1e-4)),
            beta=float(node.get("beta", 0.75)),
            bias=float(node.get("knorm", 2.0)),
        )
    ]


def _clip(node: Node) -> list[str]:
    bounds = [node.constant(node.get("a_min", 0.0)), node.constant(node.get("a_max", 0.0))]
    return [node.add("Clip", node.inputs[0], *bounds)]


def _reshape(node: Node) -> list[str]:
    shape = node.ints("shape", ())
    if any(dim < -1 for dim in shape) or node.get("reverse", False):
        raise node.error(f"shape={shape} is not supported: use only sizes, 0 and -1")
    return [node.add("Reshape", node.inputs[0], node.constant(shape, np.int64))]


def _transpose(node: Node) -> list[str]:
    return [node.add("Transpose", node.inputs[0], perm=node.ints("axes", ()) or None)]


def _concat(node: Node) -> list[str]:
    return [node.add("Concat", *node.inputs, axis=node.get("dim", 1))]


def _reduce(op: str) -> Operator:
    def add(node: Node) -> list[str]:
        if node.get("exclude", False):
            raise node.error("exclude is not supported")
        axis, keep = node.get("axis", ()), int(node.get("keepdims", False))
        axes = [axis] if isinstance(axis, int) else list(axis)
        if op == "ReduceSum":
            return [node.add(op, node.inputs[0], *([node.constant(axes, np.int64)] if axes else []), keepdims=keep)]
        if axes:
            return [node.add(op, node.inputs[0], node.constant(axes, np.int64), keepdims=keep)]
        return [node.add(op, node.inputs[0], keepdims=keep)]

    return add


def _split(node: Node) -> list[str]:
    parts, axis = node.get("num_outputs", 1), node.get("axis", 1)
    names = [f"{node.name}_output{index or ''}" for index in range(parts)]
    if not node.get("squeeze_axis", False):
        return node.graph.split("Split", node.inputs[0], names=names, axis=axis, num_outputs=parts)
    outputs = node.graph.split("Split", node.inputs[0], names=[""] * parts, axis=axis, num_outputs=parts)
    axes = node.constant([axis], np.int64)
    return [node.graph.add("Squeeze", output, axes, name=name) for output, name in zip(outputs, names, strict=True)]


def _slice_axis(node: Node) -> list[str]:
    bounds = [node.get("begin", 0), node.get("end", np.iinfo(np.int64).max), node.get("axis", 0)]
    return [node.add("Slice", node.inputs[0], *(node.constant([bound], np.int64) for bound in bounds))]


def _axis(op: str, default: int) -> Operator:
    def add(node: Node) -> list[str]:
        return [node.add(op, node.inputs[0], node.constant([node.get("axis", default)], np.int64))]

    return add


def _squeeze(node: Node) -> list[str]:
    """Without an axis, MXNet and ONNX remove every dimension of size 1."""
    axis = node.get("axis", ())
    axes = [axis] if isinstance(axis, int) else list(axis)
    return [node.add("Squeeze", node.inputs[0], *([node.constant(axes, np.int64)] if axes else []))]


def _pad(node: Node) -> list[str]:
    width = node.ints("pad_width", ())
    begin_end = [*width[::2], *width[1::2]]
    mode = node.get("mode", "constant")
    value = [node.constant(node.get("constant_value", 0.0))] if mode == "constant" else []
    return [node.add("Pad", node.inputs[0], node.constant(begin_end, np.int64), *value, mode=mode)]


def _up_sampling(node: Node) -> list[str]:
    if node.get("sample_type", "nearest") != "nearest" or len(node.inputs) != 1:
        raise node.error("only sample_type=nearest of one input is supported")
    scale = node.get("scale", 1)
    scales = node.constant([1, 1, scale, scale])
    return [
        node.add(
            "Resize",
            node.inputs[0],
            "",
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    ]


def _l2_normalization(node: Node) -> list[str]:
    if node.get("mode", "instance") != "channel":
        raise node.error("only mode=channel is supported")
    axes = node.constant([1], np.int64)
    square = node.add("ReduceSumSquare", node.inputs[0], axes, final=False, keepdims=1)
    shifted = node.add("Add", square, node.constant(node.get("eps", 1e-10)), final=False)
    return [node.add("Div", node.inputs[0], node.add("Sqrt", shifted, final=False))]


def _first(op: str) -> Operator:
    """Translate an operator that returns its first input in inference, such as a loss or dropout."""
    return lambda node: [node.add(op, node.inputs[0])]


_PAIRS: Final = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}

OPERATORS: Final[Mapping[str, Operator]] = {
    "Activation": _activation,
    "BatchNorm": _batch_norm,
    "BatchNorm_v1": _batch_norm,
    "BlockGrad": _first("Identity"),
    "Concat": _concat,
    "Convolution": _convolution,
    "Convolution_v1": _convolution,
    "Deconvolution": _convolution,
    "Dropout": _first("Identity"),
    "ElementWiseSum": _same("Sum"),
    "Flatten": _same("Flatten", axis=1),
    "FullyConnected": _fully_connected,
    "L2Normalization": _l2_normalization,
    "LRN": _lrn,
    "LeakyReLU": _leaky_relu,
    "LinearRegressionOutput": _first("Identity"),
    "LogisticRegressionOutput": _first("Sigmoid"),
    "MakeLoss": _first("Identity"),
    "Pad": _pad,
    "Pooling": _pooling,
    "Pooling_v1": _pooling,
    "Reshape": _reshape,
    "SliceChannel": _split,
    "SoftmaxActivation": _softmax_activation,
    "SoftmaxOutput": _softmax_output,
    "UpSampling": _up_sampling,
    "_copy": _first("Identity"),
    "_div_scalar": _scalar("Div"),
    "_minus_scalar": _scalar("Sub"),
    "_mul_scalar": _scalar("Mul"),
    "_plus_scalar": _scalar("Add"),
    "_power_scalar": _scalar("Pow"),
    "_rdiv_scalar": _scalar("Div", reverse=True),
    "_rminus_scalar": _scalar("Sub", reverse=True),
    "_Plus": _same("Add"),
    "_Minus": _same("Sub"),
    "_Mul": _same("Mul"),
    "_Div": _same("Div"),
    "add_n": _same("Sum"),
    "clip": _clip,
    "concat": _concat,
    "dot": _without(_same("MatMul"), "transpose_a", "transpose_b"),
    "expand_dims": _axis("Unsqueeze", 0),
    "flatten": _same("Flatten", axis=1),
    "identity": _first("Identity"),
    "max": _reduce("ReduceMax"),
    "mean": _reduce("ReduceMean"),
    "min": _reduce("ReduceMin"),
    "pad": _pad,
    "reshape": _reshape,
    "slice_axis": _slice_axis,
    "softmax": _softmax,
    "split": _split,
    "squeeze": _squeeze,
    "sum": _reduce("ReduceSum"),
    "transpose": _transpose,
    **{f"elemwise_{name}": _same(op) for name, op in _PAIRS.items()},
    **{f"broadcast_{name}": _same(op) for name, op in _PAIRS.items()},
    **{name: _same(name.capitalize()) for name in ("abs", "exp", "log", "relu", "sigmoid", "sqrt", "tanh")},
}
