"""Infers the output shapes of Caffe's layers (caffe/src/caffe/layers). A layer without a rule has no shape."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from klever.errors import InvalidError
from klever.formats.prototxt import Message

__all__ = ["Shape", "infer", "is_known"]

Shape = tuple[int, ...] | None
"""The dimensions; None for an unknown rank."""
_MAX_RANK: Final = 32
_MAX_SIZE: Final = (1 << 63) - 1
_Known = tuple[int, ...]


def is_known(kind: str) -> bool:
    return kind in _RULES


def infer(layer: Message, kind: str, sources: list[Shape]) -> Shape:
    """Return the shape of each top of a layer; None if it is unknown. Raises `InvalidError` with its line."""
    rule = _RULES.get(kind)
    known = [source for source in sources if source is not None]
    if rule is None or not known or len(known) != len(sources):
        return None
    try:
        return _bounded(rule(layer, known))
    except (ValueError, IndexError, ArithmeticError) as error:
        name = layer.text("name")[:80]
        raise InvalidError(f"line {layer.line}: layer {name!r} does not fit its inputs {known[:4]}") from error


def _bounded(shape: Shape) -> Shape:
    if shape is not None and (len(shape) > _MAX_RANK or any(not 0 <= dim <= _MAX_SIZE for dim in shape)):
        raise ValueError(shape)
    return shape


def _same(_layer: Message, sources: list[_Known]) -> Shape:
    return sources[0]


def _scalar(_layer: Message, _sources: list[_Known]) -> Shape:
    return ()


def _convolution(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("convolution_param")
    filters = param.number("num_output", sources[0][1])  # a depthwise layer of a fork may omit it
    return _windows(param, sources[0], filters, _convolved)


def _deconvolution(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("convolution_param")
    return _windows(param, sources[0], param.number("num_output", 0), _deconvolved)


def _windows(param: Message, source: _Known, filters: int, rule: Callable[[int, int, int, int, int], int]) -> Shape:
    axis = param.number("axis", 1)
    spatial = range(axis + 1, len(source))
    sizes = [
        rule(
            source[dim],
            _each(param, "kernel_size", "kernel", dim - axis - 1, 0),
            _each(param, "pad", "pad", dim - axis - 1, 0),
            max(1, _each(param, "stride", "stride", dim - axis - 1, 1)),
            _each(param, "dilation", "dilation", dim - axis - 1, 1),
        )
        for dim in spatial
    ]
    return (*source[:axis], filters, *sizes)


def _each(param: Message, name: str, prefix: str, index: int, default: int) -> int:
    """Return a size along a spatial axis, from `name`, with one value or one per axis, or from `PREFIX_h`, `_w`."""
    sizes = param.numbers(name)
    if sizes:
        return sizes[index] if index < len(sizes) else sizes[-1]
    return param.number(f"{prefix}_{'hw'[index]}", default) if index < len("hw") else default


def _convolved(size: int, kernel: int, pad: int, stride: int, dilation: int) -> int:
    return (size + 2 * pad - (dilation * (kernel - 1) + 1)) // stride + 1


def _deconvolved(size: int, kernel: int, pad: int, stride: int, dilation: int) -> int:
    return stride * (size - 1) + dilation * (kernel - 1) + 1 - 2 * pad


def _pooling(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("pooling_param")
    batch, channels, *spatial = sources[0]
    if param.text("global_pooling") in ("true", "1"):
        return (batch, channels, *(1 for _ in spatial))
    down = param.text("round_mode") in ("FLOOR", "1") or param.text("ceil_mode") in ("false", "0")
    return (batch, channels, *(_pooled(param, size, index, down=down) for index, size in enumerate(spatial)))


def _pooled(param: Message, size: int, index: int, *, down: bool) -> int:
    kernel, pad = _each(param, "kernel_size", "kernel", index, 0), _each(param, "pad", "pad", index, 0)
    stride = max(1, _each(param, "stride", "stride", index, 1))
    covered = size + 2 * pad - kernel
    count = (covered // stride if down else -(-covered // stride)) + 1
    # The last window must begin inside the image or its left padding (pooling_layer.cpp).
    return count - 1 if pad and (count - 1) * stride >= size + pad else count


def _inner_product(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("inner_product_param")
    axis = _axis(param.number("axis", 1), sources[0])
    return (*sources[0][:axis], param.number("num_output", 0))


def _concat(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("concat_param")
    axis = _axis(param.number("axis", param.number("concat_dim", 1)), sources[0])
    return (*sources[0][:axis], sum(source[axis] for source in sources), *sources[0][axis + 1 :])


def _flatten(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("flatten_param")
    start = _axis(param.number("axis", 1), sources[0])
    end = _axis(param.number("end_axis", -1), sources[0])
    return (*sources[0][:start], prod(sources[0][start : end + 1]), *sources[0][end + 1 :])


def _reshape(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("reshape_param")
    start = _axis(param.number("axis", 0), sources[0])
    count = param.number("num_axes", -1)
    end = len(sources[0]) if count < 0 else start + count
    taken = sources[0][start:end]
    target = [
        taken[i] if dim == 0 else dim for i, dim in enumerate(param.message("shape").numbers("dim"))
    ]  # 0 keeps a dimension
    if -1 in target:
        rest = prod(dim for dim in target if dim != -1)
        target[target.index(-1)] = prod(taken) // rest
    return (*sources[0][:start], *target, *sources[0][end:])


def _permute(layer: Message, sources: list[_Known]) -> Shape:
    order = layer.message("permute_param").numbers("order")
    order += [dim for dim in range(len(sources[0])) if dim not in order]
    return tuple(sources[0][dim] for dim in order)


def _arg_max(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("argmax_param")
    best = param.number("top_k", 1)
    axis = param.texts("axis")
    if axis:
        at = _axis(int(axis[-1]), sources[0])
        return (*sources[0][:at], best, *sources[0][at + 1 :])
    both = 2 if param.text("out_max_val") in ("true", "1") else 1
    return (sources[0][0], both, best, *(1 for _ in sources[0][3:]))


def _crop(layer: Message, sources: list[_Known]) -> Shape:
    axis = _axis(layer.message("crop_param").number("axis", 2), sources[0])
    return (*sources[0][:axis], *sources[1][axis:])


def _tile(layer: Message, sources: list[_Known]) -> Shape:
    param = layer.message("tile_param")
    axis = _axis(param.number("axis", 1), sources[0])
    return (*sources[0][:axis], sources[0][axis] * param.number("tiles", 1), *sources[0][axis + 1 :])


def _reduction(layer: Message, sources: list[_Known]) -> Shape:
    return sources[0][: _axis(layer.message("reduction_param").number("axis", 0), sources[0])]


def _upsample(layer: Message, sources: list[_Known]) -> Shape:
    scale = layer.message("upsample_param").number("scale", 2)
    return (*sources[0][:2], *(size * scale for size in sources[0][2:]))


def _axis(axis: int, shape: _Known) -> int:
    """Return an axis counted from the first one. Raises `IndexError` beyond the rank."""
    if not -len(shape) <= axis <= len(shape):
        raise IndexError(axis)
    return axis + len(shape) if axis < 0 else axis


_RULES: Final[dict[str, Callable[[Message, list[_Known]], Shape]]] = {
    **dict.fromkeys(
        """
        AbsVal Axpy BN BNLL BatchNorm BatchReindex Bias Clip Dropout ELU Eltwise Exp LRN Log MVN Mish Noise Normalize
        PReLU Parameter Power ReLU ReLU6 Scale ShuffleChannel Sigmoid Softmax Split Swish TanH Threshold
        """.split(),  # noqa: SIM905 - one name a line would hide the table
        _same,
    ),
    **dict.fromkeys(("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "CuDNNConvolution"), _convolution),
    **dict.fromkeys(
        (
            "Accuracy", "ContrastiveLoss", "EuclideanLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss",
            "SigmoidCrossEntropyLoss", "SoftmaxWithLoss",
        ),
        _scalar,
    ),
    "ArgMax": _arg_max,
    "Concat": _concat,
    "Crop": _crop,
    "Deconvolution": _deconvolution,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Permute": _permute,
    "Pooling": _pooling,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Tile": _tile,
    "Upsample": _upsample,
}  # fmt: skip
