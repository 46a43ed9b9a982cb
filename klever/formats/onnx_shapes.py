"""Infers missing output shapes of an ONNX model from its operators."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from onnx import ModelProto, ValueInfoProto
from onnx.shape_inference import InferenceError, infer_shapes

__all__ = ["with_shapes"]

_MAX_MODEL: Final = 16 << 20
"""The largest model whose shapes are inferred, in bytes: inference takes several times the model's memory."""


def with_shapes(model: memoryview, outputs: list[ValueInfoProto]) -> list[ValueInfoProto]:
    """Return the outputs, with the inferred shapes of a model that is not too large."""
    if all(map(_has_shape, outputs)) or len(model) > _MAX_MODEL:
        return outputs
    try:
        inferred = infer_shapes(ModelProto.FromString(bytes(model)))
    except (InferenceError, DecodeError, ValueError, RuntimeError):
        return outputs  # an unknown or invalid operator must not prevent reading the rest
    known = {value.name: value for value in inferred.graph.output if _has_shape(value)}
    return [output if _has_shape(output) else known.get(output.name, output) for output in outputs]


def _has_shape(value: ValueInfoProto) -> bool:
    return value.type.WhichOneof("value") != "tensor_type" or value.type.tensor_type.HasField("shape")
