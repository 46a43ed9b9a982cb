"""Infers the output shapes of Keras' layers from their configurations (keras.io/api/layers), if they are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any, Final

__all__ = ["Shape", "infer"]

Shape = tuple[int, ...] | None
"""The dimensions, -1 for a dynamic one; None for an unknown rank."""
Config = dict[str, Any]
_Known = tuple[int, ...]


def infer(layer: str, config: Config, sources: list[Shape]) -> Shape:
    """Return the shape of a layer's output for the shapes of its inputs; None if it is unknown."""
    known = [source for source in sources if source is not None]
    rule = _RULES.get(layer)
    if rule is None or not known or len(known) != len(sources) or not all(known):
        return None
    return rule(config, known)


def _same(_config: Config, sources: list[_Known]) -> Shape:
    return sources[0]


def _merge(_config: Config, sources: list[_Known]) -> Shape:
    """Broadcast as numpy does."""
    return reduce(_broadcast, sources)


def _broadcast(left: _Known, right: _Known) -> _Known:
    if len(left) < len(right):
        left, right = right, left
    padded = (1,) * (len(left) - len(right)) + right
    return tuple(b if a == 1 else a for a, b in zip(left, padded, strict=True))


def _concatenate(config: Config, sources: list[_Known]) -> Shape:
    axis = int(config.get("axis", -1)) % len(sources[0])
    sizes = [source[axis] for source in sources]
    size = -1 if -1 in sizes else sum(sizes)
    return (*sources[0][:axis], size, *sources[0][axis + 1 :])


def _dense(config: Config, sources: list[_Known]) -> Shape:
    return (*sources[0][:-1], int(config["units"]))


def _embedding(config: Config, sources: list[_Known]) -> Shape:
    return (*sources[0], int(config["output_dim"]))


def _text(config: Config, sources: list[_Known]) -> Shape:
    """Return one row of tokens for each text."""
    if config.get("output_mode", "int") != "int":
        return None
    length = config.get("output_sequence_length")
    return (sources[0][0], -1 if length is None else int(length))


def _look_up(config: Config, sources: list[_Known]) -> Shape:
    return sources[0] if config.get("output_mode", "int") == "int" else None


def _flatten(_config: Config, sources: list[_Known]) -> Shape:
    return (sources[0][0], _product(sources[0][1:]))


def _reshape(config: Config, sources: list[_Known]) -> Shape:
    target = [int(dim) for dim in config["target_shape"]]
    total = _product(sources[0][1:])
    if target.count(-1) == 1 and total > 0:
        target[target.index(-1)] = total // max(1, prod(dim for dim in target if dim != -1))
    return (sources[0][0], *target)


def _permute(config: Config, sources: list[_Known]) -> Shape:
    return (sources[0][0], *(sources[0][int(dim)] for dim in config["dims"]))


def _repeat(config: Config, sources: list[_Known]) -> Shape:
    return (sources[0][0], int(config["n"]), *sources[0][1:])


def _recurrent(config: Config, sources: list[_Known]) -> Shape:
    steps = sources[0][1:2] if config.get("return_sequences") else ()
    return (sources[0][0], *steps, int(config["units"]))


def _both_ways(config: Config, sources: list[_Known]) -> Shape:
    inner = config["layer"]
    shape = infer(str(inner["class_name"]), inner["config"], [*sources[:1]])
    mode = config.get("merge_mode", "concat")
    if shape is None or mode is None:  # without a mode it returns two results
        return None
    return (*shape[:-1], shape[-1] * 2) if mode == "concat" else shape


def _each_step(config: Config, sources: list[_Known]) -> Shape:
    inner = config["layer"]
    batch, steps, *rest = sources[0]
    shape = infer(str(inner["class_name"]), inner["config"], [(batch, *rest)])
    return None if shape is None else (batch, steps, *shape[1:])


def _global_pool(config: Config, sources: list[_Known]) -> Shape:
    batch, spatial, channels, last = _split(config, sources[0])
    kept = (1,) * len(spatial) if config.get("keepdims") else ()
    return _join(batch, kept, channels, last=last)


def _convolution(config: Config, sources: list[_Known]) -> Shape:
    batch, spatial, channels, last = _split(config, sources[0])
    if "depth_multiplier" in config and "filters" not in config:
        filters = channels * int(config["depth_multiplier"]) if channels > 0 else -1
    else:
        filters = int(config["filters"])
    sizes = _windows(config, spatial, config["kernel_size"], config.get("strides", 1), config.get("dilation_rate", 1))
    return _join(batch, sizes, filters, last=last)


def _transposed(config: Config, sources: list[_Known]) -> Shape:
    batch, spatial, _, last = _split(config, sources[0])
    kernels, strides = _each(config["kernel_size"], spatial), _each(config.get("strides", 1), spatial)
    extra = [0 if config.get("padding") == "same" else max(k - s, 0) for k, s in zip(kernels, strides, strict=True)]
    sizes = tuple(-1 if n < 0 else n * s + e for n, s, e in zip(spatial, strides, extra, strict=True))
    known = sizes if not config.get("output_padding") else (-1,) * len(sizes)
    return _join(batch, known, int(config["filters"]), last=last)


def _pool(config: Config, sources: list[_Known]) -> Shape:
    batch, spatial, channels, last = _split(config, sources[0])
    sizes = _windows(config, spatial, config["pool_size"], config.get("strides") or config["pool_size"], 1)
    return _join(batch, sizes, channels, last=last)


def _pad(config: Config, sources: list[_Known]) -> Shape:
    return _grow(config, sources[0], config["padding"], 1)


def _crop(config: Config, sources: list[_Known]) -> Shape:
    return _grow(config, sources[0], config["cropping"], -1)


def _grow(config: Config, source: _Known, amounts: Any, sign: int) -> Shape:
    batch, spatial, channels, last = _split(config, source)
    pairs = [amounts] if len(spatial) == 1 and isinstance(amounts, list) else _each(amounts, spatial)
    added = [sum(map(int, pair)) if isinstance(pair, list) else 2 * int(pair) for pair in pairs]
    sizes = tuple(-1 if n < 0 else n + sign * more for n, more in zip(spatial, added, strict=True))
    return _join(batch, sizes, channels, last=last)


def _upsample(config: Config, sources: list[_Known]) -> Shape:
    batch, spatial, channels, last = _split(config, sources[0])
    factors = _each(config["size"], spatial)
    return _join(
        batch, tuple(-1 if n < 0 else n * f for n, f in zip(spatial, factors, strict=True)), channels, last=last
    )


def _windows(config: Config, spatial: _Known, kernel: Any, strides: Any, dilation: Any) -> _Known:
    """Return the number of windows along each axis, depending on the padding."""
    sizes = zip(spatial, _each(kernel, spatial), _each(strides, spatial), _each(dilation, spatial), strict=True)
    covered = config.get("padding", "valid") in ("same", "causal")
    return tuple(
        -1 if n < 0 else -(-n // s) if covered else max((n - (k - 1) * d - 1) // s + 1, 0) for n, k, s, d in sizes
    )


def _split(config: Config, shape: _Known) -> tuple[int, _Known, int, bool]:
    """Return the batch, the spatial dimensions, the channels, and whether the channels are last."""
    last = config.get("data_format") != "channels_first"
    return (shape[0], shape[1:-1], shape[-1], True) if last else (shape[0], shape[2:], shape[1], False)


def _join(batch: int, spatial: _Known, channels: int, *, last: bool) -> _Known:
    return (batch, *spatial, channels) if last else (batch, channels, *spatial)


def _each(value: Any, spatial: _Known) -> list[Any]:
    """Return one value for each spatial dimension."""
    return value if isinstance(value, list) else [value] * len(spatial)


def _product(sizes: _Known) -> int:
    return -1 if -1 in sizes else prod(sizes)


_RULES: Final[dict[str, Callable[[Config, list[_Known]], Shape]]] = {
    **dict.fromkeys(
        """
        Activation ActivityRegularization AlphaDropout BatchNormalization BatchNormalizationV1 BatchNormalizationV2
        Dropout ELU GaussianDropout GaussianNoise GroupNormalization LayerNormalization LeakyReLU Masking Normalization
        PReLU ReLU Rescaling Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D ThresholdedReLU
        UnitNormalization
        """.split(),  # noqa: SIM905 - one name a line would hide the table
        _same,
    ),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merge),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D"), _convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _convolution),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **dict.fromkeys([f"{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)], _pool),
    **dict.fromkeys([f"Global{kind}Pooling{n}D" for kind in ("Max", "Average") for n in (1, 2, 3)], _global_pool),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"), _pad),
    **dict.fromkeys(("Cropping1D", "Cropping2D", "Cropping3D"), _crop),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D", "UpSampling3D"), _upsample),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU"), _recurrent),
    **dict.fromkeys(("StringLookup", "IntegerLookup", "Hashing", "Discretization"), _look_up),
    "Bidirectional": _both_ways,
    "Concatenate": _concatenate,
    "Dense": _dense,
    "Embedding": _embedding,
    "Flatten": _flatten,
    "Permute": _permute,
    "RepeatVector": _repeat,
    "Reshape": _reshape,
    "TextVectorization": _text,
    "TimeDistributed": _each_step,
}
