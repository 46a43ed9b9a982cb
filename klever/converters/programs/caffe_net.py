"""Reads a Caffe model: the inference layers of its prototxt, with the weights of its caffemodel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from klever.converters.programs.caffe_schema import V1_TYPES, NetParameter
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import only_match

__all__ = ["Layer", "Net", "read_net"]

_TRAINING: Final = frozenset({"Accuracy", "Data", "HDF5Data", "ImageData", "Silence", "LMDB", "AnnotatedData"})
_PROTOTXT_BYTES: Final = 1 << 20
"""Those of the public networks have up to 300 kB. The parser takes a minute for a megabyte of single fields."""
_MAX_RANK: Final = 32
_TRAIN: Final = 0
_TEST: Final = 1


@dataclass(frozen=True)
class Layer:
    """A layer. `parameters` is the message of the prototxt, `blobs` the weights."""

    name: str
    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]
    parameters: Any
    blobs: Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Net:
    """The layers in order, and the inputs with their shapes."""

    name: str
    inputs: dict[str, tuple[int, ...]]
    layers: Sequence[Layer]


def read_net(model: Path) -> Net:
    """Read the *.prototxt and the *.caffemodel in a directory. Raises `ConversionError` that names the file."""
    prototxt, caffemodel = only_match(model, "*.prototxt", _PROTOTXT_BYTES), only_match(model, "*.caffemodel")
    try:
        text = text_format.Parse(prototxt.read_text(), NetParameter(), allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ConversionError(f"{prototxt.name} is not a Caffe net: {error}") from error
    try:
        trained = NetParameter.FromString(caffemodel.read_bytes())
    except DecodeError as error:
        raise ConversionError(f"{caffemodel.name} is not a Caffe net: {error}") from error
    weights = {layer.name: [_array(blob) for blob in layer.blobs] for layer in [*trained.layer, *trained.layers]}
    layers = [_layer(message, weights) for message in [*text.layer, *text.layers] if _infers(message)]
    return Net(text.name, _inputs(text, layers), [one for one in layers if one.type != "Input"])


def _inputs(text: Any, layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    dims = list(text.input_dim)
    shapes = [tuple(shape.dim) for shape in text.input_shape] or [
        tuple(dims[begin : begin + 4]) for begin in range(0, len(dims), 4)
    ]
    inputs = dict(zip(text.input, shapes, strict=False))
    for layer in layers:
        if layer.type == "Input":
            shapes = [tuple(shape.dim) for shape in layer.parameters.input_param.shape]
            inputs |= dict(zip(layer.tops, shapes * len(layer.tops) if len(shapes) == 1 else shapes, strict=False))
    return inputs


def _layer(message: Any, weights: dict[str, list[NDArray[np.float32]]]) -> Layer:
    kind = message.type if isinstance(message.type, str) else V1_TYPES.get(message.type, f"type {message.type}")
    blobs = weights.get(message.name, [])
    return Layer(message.name, kind, list(message.bottom), list(message.top), message, blobs)


def _infers(message: Any) -> bool:
    """Whether a layer belongs to inference, unlike losses, data and other layers for training."""
    kind = message.type if isinstance(message.type, str) else V1_TYPES.get(message.type, "")
    phases = {rule.phase for rule in message.include if rule.HasField("phase")}
    excluded = {rule.phase for rule in message.exclude if rule.HasField("phase")}
    return kind not in _TRAINING and phases != {_TRAIN} and _TEST not in excluded


def _array(blob: Any) -> NDArray[np.float32]:
    values = np.array(blob.data or blob.double_data, np.float32)
    if len(blob.shape.dim) > _MAX_RANK:
        raise ConversionError(
            f"the caffemodel has a blob of {len(blob.shape.dim)} dimensions, and {_MAX_RANK} are supported"
        )
    shape = list(blob.shape.dim) if blob.HasField("shape") else [blob.num, blob.channels, blob.height, blob.width]
    if np.prod(shape, dtype=np.int64) != values.size:
        raise ConversionError(f"the caffemodel has {values.size} values, but the shape is {shape}")
    return values.reshape(shape)
