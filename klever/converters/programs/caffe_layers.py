"""Translates each layer of Caffe to Caffe2: a function of `Translation` appends operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from klever.converters.programs.caffe2_schema import fill, operator
from klever.converters.programs.caffe_net import Layer
from klever.converters.programs.errors import ConversionError

__all__ = ["Translation"]

_CAFFE_LEGACY_POOLING: Final = 3
_AVERAGE, _MAX, _FLOOR = 1, 0, 1
_PRODUCT, _SUM, _MAXIMUM = 0, 1, 2
_IMAGE_RANK: Final = 4
_RANKS: Final = {"InnerProduct": 2, "Flatten": 2}


@dataclass(frozen=True)
class Translation:
    """A layer, the operators of predict_net and init_net, and the number of dimensions of each tensor so far."""

    layer: Layer
    predict: Any
    init: Any
    ranks: dict[str, int]

    @property
    def bottom(self) -> str:
        return self.layer.bottoms[0]

    @property
    def top(self) -> str:
        return self.layer.tops[0]

    def parameters(self, name: str) -> Any:
        return getattr(self.layer.parameters, f"{name}_param")

    def error(self, message: str) -> ConversionError:
        return ConversionError(f"layer {self.layer.name!r} ({self.layer.type}): {message}")

    def add(self, kind: str, inputs: list[str] | None = None, outputs: list[str] | None = None, **values: Any) -> None:
        self.predict.append(operator(kind, inputs or [self.bottom], outputs or [self.top], **values))

    def constant(self, suffix: str, array: NDArray[Any]) -> str:
        name = f"{self.layer.name}_{suffix}"
        self.init.append(fill(name, np.asarray(array)))
        return name

    def blob(self, index: int) -> NDArray[np.float32]:
        if index >= len(self.layer.blobs):
            raise self.error(f"the caffemodel must have {index + 1} blobs of it, not {len(self.layer.blobs)}")
        return self.layer.blobs[index]

    def translate(self) -> None:
        """Append the layer's operators. Raises `ConversionError` that names the layer."""
        if self.layer.type not in LAYERS:
            raise self.error("the type is not supported")
        LAYERS[self.layer.type](self)
        rank = _RANKS.get(self.layer.type, self.ranks.get(self.bottom, 0))
        if self.layer.type == "Reshape":
            rank = len(self.parameters("reshape").shape.dim)
        self.ranks.update(dict.fromkeys(self.layer.tops, rank))


Translate = Callable[[Translation], None]


def _unary(kind: str) -> Translate:
    return lambda t: t.add(kind)


def _window(parameters: Any, field: str, default: int) -> list[int]:
    """Return height and width of a kernel, a stride or a pad."""
    single = {"kernel": "kernel_size"}.get(field, field)
    both = getattr(parameters, single)
    values = list(both) if not isinstance(both, int) else [both]
    if parameters.HasField(f"{field}_h") or parameters.HasField(f"{field}_w"):
        return [getattr(parameters, f"{field}_h"), getattr(parameters, f"{field}_w")]
    return values * (2 if len(values) == 1 else 1) or [default] * 2


def _convolution(t: Translation) -> None:
    parameters = t.parameters("convolution")
    transposed = t.layer.type == "Deconvolution"
    weight = t.constant("w", t.blob(0))
    channels = parameters.num_output
    bias = t.blob(1).ravel() if parameters.bias_term else np.zeros(channels, np.float32)
    dilation = list(parameters.dilation) or [1]
    t.add(
        "ConvTranspose" if transposed else "Conv",
        [t.bottom, weight, t.constant("b", bias)],
        kernels=_window(parameters, "kernel", 1),
        strides=_window(parameters, "stride", 1),
        pads=_window(parameters, "pad", 0) * 2,
        dilations=dilation * (2 if len(dilation) == 1 else 1),
        group=parameters.group if parameters.group > 1 else None,
    )


def _pooling(t: Translation) -> None:
    parameters = t.parameters("pooling")
    if parameters.pool not in (_MAX, _AVERAGE):
        raise t.error("stochastic pooling is not supported")
    kind = "AveragePool" if parameters.pool == _AVERAGE else "MaxPool"
    if parameters.global_pooling:
        t.add(kind, global_pooling=1)
        return
    t.add(
        kind,
        kernels=_window(parameters, "kernel", 1),
        strides=_window(parameters, "stride", 1),
        pads=_window(parameters, "pad", 0) * 2,
        legacy_pad=None if parameters.round_mode == _FLOOR else _CAFFE_LEGACY_POOLING,
        count_include_pad=1 if parameters.round_mode == _FLOOR else None,
    )


def _inner_product(t: Translation) -> None:
    parameters = t.parameters("inner_product")
    if parameters.axis != 1:
        raise t.error("an axis other than 1 is not supported")
    weight = t.blob(0)
    weight = (
        weight.reshape(-1, parameters.num_output).T
        if parameters.transpose
        else weight.reshape(parameters.num_output, -1)
    )
    bias = t.blob(1).ravel() if parameters.bias_term else np.zeros(parameters.num_output, np.float32)
    t.add("FC", [t.bottom, t.constant("w", weight), t.constant("b", bias)])


def _batch_norm(t: Translation) -> None:
    mean, variance, factor = t.blob(0).ravel(), t.blob(1).ravel(), float(t.blob(2).ravel()[0])
    scale = 1 / factor if factor else 0.0
    constants = {
        "scale": np.ones_like(mean), "bias": np.zeros_like(mean), "mean": mean * scale, "var": variance * scale,
    }  # fmt: skip
    inputs = [t.constant(suffix, array) for suffix, array in constants.items()]
    t.add("SpatialBN", [t.bottom, *inputs], is_test=1, epsilon=t.parameters("batch_norm").eps)


def _scale(t: Translation) -> None:
    parameters = t.parameters("scale")
    learned = len(t.layer.bottoms) == 1
    factor = t.constant("scale", t.blob(0)) if learned else t.layer.bottoms[1]
    t.add("Mul", [t.bottom, factor], broadcast=1, axis=parameters.axis)
    if parameters.bias_term:
        bias = t.constant("bias", t.blob(int(learned)))
        t.add("Add", [t.top, bias], broadcast=1, axis=parameters.axis)


def _bias(t: Translation) -> None:
    bias = t.constant("bias", t.blob(0)) if len(t.layer.bottoms) == 1 else t.layer.bottoms[1]
    t.add("Add", [t.bottom, bias], broadcast=1, axis=t.parameters("bias").axis)


def _eltwise(t: Translation) -> None:
    parameters, bottoms = t.parameters("eltwise"), list(t.layer.bottoms)
    if parameters.operation == _PRODUCT:
        for other in bottoms[1:]:
            t.add("Mul", [bottoms[0] if other is bottoms[1] else t.top, other])
    elif parameters.operation == _MAXIMUM:
        t.add("Max", bottoms)
    else:
        t.add(
            "Sum", [_weighted(t, *pair) for pair in zip(bottoms, parameters.coeff or [1.0] * len(bottoms), strict=True)]
        )


def _weighted(t: Translation, bottom: str, coefficient: float) -> str:
    if coefficient == 1:
        return bottom
    name = f"{t.layer.name}_{bottom}_weighted"
    t.add("Scale", [bottom], [name], scale=float(coefficient))
    return name


def _concat(t: Translation) -> None:
    parameters = t.parameters("concat")
    axis = parameters.concat_dim if parameters.HasField("concat_dim") else parameters.axis
    t.add("Concat", list(t.layer.bottoms), [t.top, f"{t.top}_dims"], axis=int(axis))


def _lrn(t: Translation) -> None:
    parameters = t.parameters("lrn")
    if parameters.norm_region:
        raise t.error("norm_region: WITHIN_CHANNEL is not supported")
    values = {"alpha": parameters.alpha, "beta": parameters.beta, "bias": parameters.k}
    t.add("LRN", [t.bottom], [t.top, f"_{t.top}_scale"], size=parameters.local_size, **values)


def _relu(t: Translation) -> None:
    slope = t.parameters("relu").negative_slope
    t.add("LeakyRelu", alpha=slope) if slope else t.add("Relu")


def _prelu(t: Translation) -> None:
    t.add("PRelu", [t.bottom, t.constant("slope", t.blob(0).ravel())])


def _power(t: Translation) -> None:
    parameters, current = t.parameters("power"), t.bottom
    if parameters.scale != 1:
        t.add("Scale", [current], scale=parameters.scale)
        current = t.top
    if parameters.shift:
        t.add("Add", [current, t.constant("shift", np.array([parameters.shift], np.float32))], broadcast=1)
        current = t.top
    if parameters.power != 1:
        t.add("Pow", [current], exponent=parameters.power)
    elif current == t.bottom:
        t.add("Copy", [current])


def _reshape(t: Translation) -> None:
    parameters = t.parameters("reshape")
    if parameters.axis or parameters.num_axes != -1:
        raise t.error("axis and num_axes are not supported")
    t.add("Reshape", [t.bottom], [t.top, f"{t.top}_shape"], shape=list(parameters.shape.dim))


def _flatten(t: Translation) -> None:
    parameters = t.parameters("flatten")
    if (parameters.axis, parameters.end_axis) != (1, -1):
        raise t.error("only axis: 1 and end_axis: -1 are supported")
    t.add("Flatten", axis=1)


def _softmax(t: Translation) -> None:
    """Translate a softmax. Caffe's has one axis, Caffe2's all axes from one on: an image's channels must be last."""
    if t.parameters("softmax").axis != 1:
        raise t.error("an axis other than 1 is not supported")
    if t.ranks.get(t.bottom) != _IMAGE_RANK:
        t.add("Softmax", axis=1)
        return
    last, probable = f"{t.top}_last", f"{t.top}_probable"
    t.add("Transpose", [t.bottom], [last], axes=[0, 2, 3, 1])
    t.add("Softmax", [last], [probable], axis=3)
    t.add("Transpose", [probable], [t.top], axes=[0, 3, 1, 2])


def _slice(t: Translation) -> None:
    parameters = t.parameters("slice")
    axis = parameters.slice_dim if parameters.HasField("slice_dim") else parameters.axis
    points = list(parameters.slice_point)
    if points:
        raise t.error("slice_point is not supported: the last part's size is not known")
    t.add("Split", [t.bottom], list(t.layer.tops), axis=int(axis))


def _split(t: Translation) -> None:
    for top in t.layer.tops:
        t.add("Copy", [t.bottom], [top])


LAYERS: Final[Mapping[str, Translate]] = {
    "AbsVal": _unary("Abs"),
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "Dropout": lambda t: t.add("Dropout", [t.bottom], [t.top, f"_{t.top}_mask"], is_test=1),
    "ELU": lambda t: t.add("Elu", alpha=t.parameters("elu").alpha),
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "PReLU": _prelu,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _unary("Sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "SoftmaxWithLoss": _softmax,
    "Split": _split,
    "TanH": _unary("Tanh"),
}
