"""Tensors of the Open Inference Protocol: a tensor of one dimension per field, as values or as bytes.

Source: Triton's docs/protocol/extension_binary_data.md. gRPC's raw contents use the same encoding.
"""

import struct

import numpy as np
from bounds import RefusedError, quoted
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

TYPES = {"double": "FP64", "float": "FP32", "integer": "INT64", "boolean": "BOOL"}
"""The types of fields. All others are text."""


def datatype(one):
    """The protocol's type of a field."""
    return TYPES.get(one["dataType"], "BYTES")


def values(kind, content, bounds):
    """The values of a tensor's bytes. Raises `RefusedError`."""
    dtype = triton_to_np_dtype(kind)
    if dtype is None:
        raise RefusedError(400, f"invalid datatype {quoted(kind)}")
    if kind != "BYTES":
        bounds.check("scored_records", len(content) // np.dtype(dtype).itemsize, "a tensor")
    try:
        if kind == "BYTES":
            return texts(deserialize_bytes_tensor(content))
        return np.frombuffer(content, dtype).tolist()
    except (struct.error, ValueError) as error:  # tritonclient raises struct.error for an incomplete length
        raise RefusedError(400, f"invalid {kind} tensor of {len(content)} bytes: {error}") from error


def texts(contents):
    try:
        return [bytes(content).decode() for content in contents]
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"a text must be UTF-8: {error}") from error


def content(kind, found):
    """The bytes of a tensor of these values."""
    if kind == "BYTES":
        return serialize_byte_tensor(np.array([str(value).encode() for value in found], object)).item()
    return np.array(found, triton_to_np_dtype(kind)).tobytes()


def flat(shape, data):
    """The values of a tensor. Raises `RefusedError` unless its shape is `[ROWS]` or `[ROWS, 1]`."""
    if not isinstance(data, list):
        raise RefusedError(400, "data must be a list")
    rows = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]
    if list(shape) not in ([len(rows)], [len(rows), 1]):
        raise RefusedError(400, f"invalid shape {quoted(list(shape))}: expected [{len(rows)}], the number of values")
    return rows
