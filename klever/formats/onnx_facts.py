"""The details of an ONNX model: versions, producer, weights, classes (onnx.proto, onnx-ml.proto)."""

from __future__ import annotations

from typing import Final

from klever.api.wire import Field, Walk, content, text, varints
from klever.errors import InvalidError
from klever.formats.details import Details
from klever.formats.weights import Weights, elements

__all__ = ["CLASSES", "Facts"]

_MODEL_IR, _MODEL_PRODUCER, _MODEL_PRODUCER_VERSION, _MODEL_OPSET = 1, 2, 3, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_TENSOR_DIM, _TENSOR_TYPE = 1, 2
_ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 8, 9
CLASSES: Final = frozenset({"classlabels_strings", "classlabels_ints", "classlabels_int64s"})
"""Attributes of ZipMap and of the classifiers of ai.onnx.ml."""
_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""Bits of an element by TensorProto.DataType."""
_MAX_RANK: Final = 64
_MAX_OPSETS: Final = 100
_MAX_CLASSES: Final = 100_000
_MAX_CLASS_TEXT: Final = 4 << 20
_LABEL_COST: Final = 8
"""How many characters a class counts in addition to its name."""


class Facts:
    """Collects details during the walk through a model."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._weights = Weights()
        self._ir = 0
        self._producer = ["", ""]
        self._opsets: dict[str, int] = {}
        self.classes: list[str] = []
        self._left = _MAX_CLASS_TEXT

    def details(self) -> Details:
        opsets = [f"opset {version}" if domain == "" else f"{domain} {version}" for domain, version in self._versions()]
        return Details(
            format_version=", ".join([*opsets, *([f"IR {self._ir}"] if self._ir else [])]),
            producer=" ".join(filter(None, self._producer)),
            parameters=self._weights.parameters,
            parameter_bytes=self._weights.bytes,
            classes=tuple(self.classes),
        )

    def field(self, number: int, value: Field) -> None:
        """Read a field of the model."""
        if number == _MODEL_IR and isinstance(value, int):
            self._ir = value
        elif number in (_MODEL_PRODUCER, _MODEL_PRODUCER_VERSION):
            self._producer[number - _MODEL_PRODUCER] = text(value)
        elif number == _MODEL_OPSET:
            self._opset(content(number, value))

    def initializer(self, tensor: memoryview) -> None:
        """Count a tensor of weights."""
        dims: list[int] = []
        kind = 0
        for number, value in self._walk.fields(tensor):
            if number == _TENSOR_DIM:
                dims += varints(value, _MAX_RANK)
            elif number == _TENSOR_TYPE and isinstance(value, int):
                kind = value
        self._weights.add(elements(dims), _BITS.get(kind, 0))

    def labels(self, number: int, value: Field) -> list[str]:
        """Return the classes in a field of an attribute of `CLASSES`."""
        if number == _ATTRIBUTE_STRINGS:
            found = [text(value)]
        elif number == _ATTRIBUTE_INTS:
            found = [_signed(label) for label in varints(value, _MAX_CLASSES)]
        else:
            return []
        self._left -= sum(_LABEL_COST + len(label) for label in found)
        if self._left < 0:
            raise InvalidError(f"its class names must have at most {_MAX_CLASS_TEXT} characters in total")
        return found

    def _opset(self, opset: memoryview) -> None:
        domain, version = "", 0
        for number, value in self._walk.fields(opset):
            if number == _OPSET_DOMAIN:
                domain = text(value)
            elif number == _OPSET_VERSION and isinstance(value, int):
                version = value
        self._opsets["" if domain == "ai.onnx" else domain] = version
        if len(self._opsets) > _MAX_OPSETS:
            raise InvalidError(f"it must import at most {_MAX_OPSETS} operator sets")

    def _versions(self) -> list[tuple[str, int]]:
        return sorted(self._opsets.items())


def _signed(number: int) -> str:
    return str(number - (1 << 64) if number >= 1 << 63 else number)
