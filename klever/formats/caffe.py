"""Caffe: inputs, outputs and layers of the .prototxt, with inferred shapes, and the size of the weights.

Sources: caffe/src/caffe/proto/caffe.proto, net.cpp (Net::Init, AppendTop, AppendBottom), util/upgrade_proto.cpp.
"""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Final

from klever.errors import InvalidError
from klever.formats.caffe_shapes import Shape, infer, is_known
from klever.formats.caffe_weights import count_blobs
from klever.formats.details import Details
from klever.formats.files import any_match, map_file, only_match
from klever.formats.prototxt import Message, parse
from klever.formats.signature import Signature, Tensor

__all__ = ["read_signature"]

_TEXT_LIMIT: Final = 4 << 20
_WEIGHTS_LIMIT: Final = 2 << 30
_MAX_LAYERS: Final = 20_000
_MAX_WARNINGS: Final = 20
_MAX_RANK: Final = 32
_LEGACY_RANK: Final = 4
_DATA: Final = frozenset({"Input", "Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData"})
_VERSION_1: Final = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONVOLUTION": "Convolution", "DATA": "Data", "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData", "ELTWISE": "Eltwise", "EUCLIDEAN_LOSS": "EuclideanLoss", "EXP": "Exp",
    "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData",
    "INNER_PRODUCT": "InnerProduct", "LRN": "LRN", "MEMORY_DATA": "MemoryData", "MVN": "MVN", "POOLING": "Pooling",
    "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid", "SILENCE": "Silence", "SLICE": "Slice",
    "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "TANH": "TanH",
    "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData",
}  # fmt: skip
"""V1LayerParameter.LayerType, and the current name of each layer."""


def read_signature(model_dir: Path) -> Signature:
    """Read the signature without layers of the training phase. An unknown layer gives a warning."""
    network = only_match(model_dir, "*.prototxt", _TEXT_LIMIT)
    blobs = any_match(model_dir, "*.caffemodel", _WEIGHTS_LIMIT)
    try:
        net = _Net(parse(network.read_bytes().decode()))
    except InvalidError as error:
        raise InvalidError(f"{network.name} is not a Caffe network: {error.message}") from error
    except ValueError as error:
        raise InvalidError(f"{network.name} is not a Caffe network: invalid UTF-8: {error}") from error
    if blobs is None:
        return net.signature(Details(warnings=net.warnings()))
    try:
        weights = count_blobs(map_file(blobs))
    except InvalidError as error:
        raise InvalidError(f"{blobs.name} does not contain the weights of a Caffe network: {error.message}") from error
    return net.signature(Details(parameters=weights.parameters, parameter_bytes=weights.bytes, warnings=net.warnings()))


class _Net:
    def __init__(self, net: Message) -> None:
        self._inputs: list[Tensor] = []
        self._layers: Counter[str] = Counter()
        self._blobs: dict[str, Shape] = {}
        """The blobs that no layer has read, in the order of the layers. The remaining ones are outputs."""
        self._shapes: dict[str, Shape] = {}
        self._unknown: dict[str, str] = {}
        self._declared(net)
        layers = [*net.messages("layer"), *net.messages("layers")]
        if not layers:
            raise InvalidError("it must have layers")
        if len(layers) > _MAX_LAYERS:
            raise InvalidError(f"it must have at most {_MAX_LAYERS} layers, not {len(layers)}")
        for layer in layers:
            if not _in_training_only(layer):
                self._layer(layer)

    def signature(self, details: Details) -> Signature:
        outputs = [Tensor(name, shape, "float32") for name, shape in self._blobs.items()]
        return Signature(tuple(self._inputs), tuple(outputs), dict(sorted(self._layers.items())), details)

    def warnings(self) -> tuple[str, ...]:
        listed = list(self._unknown.items())[:_MAX_WARNINGS]
        return tuple(
            f"the shape of {name[:80]!r} is unknown: Klever has no rule for {kind[:80]}" for kind, name in listed
        )

    def _declared(self, net: Message) -> None:
        """Read the inputs that the network itself declares, as it was done before input layers existed."""
        shapes = [tuple(shape.numbers("dim")) for shape in net.messages("input_shape")]
        dims = net.numbers("input_dim")
        for index, name in enumerate(net.texts("input")):
            legacy = dims[_LEGACY_RANK * index :][:_LEGACY_RANK]
            shape: Shape = shapes[index] if index < len(shapes) else tuple(legacy) or None
            self._input(name, shape)

    def _input(self, name: str, shape: Shape) -> None:
        if shape is not None and len(shape) > _MAX_RANK:
            raise InvalidError(f"input {name[:80]!r} must have at most {_MAX_RANK} dimensions, not {len(shape)}")
        self._inputs.append(Tensor(name, shape, "float32"))
        self._blobs[name] = self._shapes[name] = shape

    def _layer(self, layer: Message) -> None:
        kind = _kind(layer)
        self._layers[kind] += 1
        tops = layer.texts("top")
        if kind in _DATA:
            shapes = [tuple(shape.numbers("dim")) for shape in layer.message("input_param").messages("shape")]
            for index, top in enumerate(tops):
                self._input(top, shapes[min(index, len(shapes) - 1)] if shapes else None)
            return
        bottoms = layer.texts("bottom")
        for name in bottoms:
            if name not in self._shapes:
                raise InvalidError(
                    f"line {layer.line}: layer {layer.text('name')[:80]!r} reads {name[:80]!r}, which no layer writes"
                )
        shapes_of_tops = self._infer(layer, kind, [self._shapes[name] for name in bottoms], len(tops))
        for name in bottoms:
            self._blobs.pop(name, None)
        for name, shape in zip(tops, shapes_of_tops, strict=True):
            self._blobs[name] = self._shapes[name] = shape

    def _infer(self, layer: Message, kind: str, sources: list[Shape], tops: int) -> list[Shape]:
        if kind == "Slice" and sources and sources[0] is not None:
            return _sliced(layer, sources[0], tops)
        if kind != "Silence" and not is_known(kind):
            self._unknown.setdefault(kind, next(iter(layer.texts("top")), ""))
        return [infer(layer, kind, sources)] * tops


def _kind(layer: Message) -> str:
    kind = layer.text("type")
    if not kind:
        raise InvalidError(
            f"line {layer.line}: a layer has no type; upgrade the network with Caffe's upgrade_net_proto_text"
        )
    return _VERSION_1.get(kind, kind)


def _in_training_only(layer: Message) -> bool:
    included = [rule.text("phase") for rule in layer.messages("include")]
    excluded = [rule.text("phase") for rule in layer.messages("exclude")]
    return ("TRAIN" in included and "TEST" not in included) or "TEST" in excluded


def _sliced(layer: Message, source: tuple[int, ...], tops: int) -> list[Shape]:
    param = layer.message("slice_param")
    axis = param.number("axis", param.number("slice_dim", 1))
    if not -len(source) <= axis < len(source):
        raise InvalidError(f"line {layer.line}: layer {layer.text('name')[:80]!r} has no axis {axis}")
    axis %= len(source)
    points = param.numbers("slice_point")
    ends = [0, *points, source[axis]] if points else [source[axis] * part // tops for part in range(tops + 1)]
    sizes = [end - start for start, end in itertools.pairwise(ends)]
    return [(*source[:axis], size, *source[axis + 1 :]) for size in sizes[:tops]] + [None] * (tops - len(sizes))
