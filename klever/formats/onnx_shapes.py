"""Shapes of an ONNX model's outputs that the model does not give, as its operators imply them."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from onnx import ModelProto, ValueInfoProto
from onnx.shape_inference import InferenceError, infer_shapes

__all__ = ["with_shapes"]

_MAX_MODEL: Final = 16 << 20
"""Bytes of a model whose shapes are inferred: inference takes several times the memory of the model."""


def with_shapes(model: memoryview, outputs: list[ValueInfoProto]) -> list[ValueInfoProto]:
    """Return the outputs, with the shapes that follow from the operators of a model that is not large."""
    if all(map(_has_shape, outputs)) or len(model) > _MAX_MODEL:
        return outputs
    try:
        inferred = infer_shapes(ModelProto.FromString(bytes(model)))
    except (InferenceError, DecodeError, ValueError, RuntimeError):
        return outputs  # an operator that is not known, or does not fit: the rest is read all the same
    known = {value.name: value for value in inferred.graph.output if _has_shape(value)}
    return [output if _has_shape(output) else known.get(output.name, output) for output in outputs]


def _has_shape(value: ValueInfoProto) -> bool:
    return value.type.WhichOneof("value") != "tensor_type" or value.type.tensor_type.HasField("shape")
