"""Inference requests made from a signature, in the Open Inference Protocol's JSON and its binary extension.

Source: Triton's docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from klever.errors import InvalidError
from klever.formats import Signature, Tensor
from klever.formats.bounds import elements
from klever.limits import Limits
from klever.runtimes import Probe
from klever.runtimes.triton.config import data_type

__all__ = ["infer_path", "json_zeros", "probe"]

_BYTES: Final[Mapping[str, int]] = {
    "BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2, "BF16": 2, "INT32": 4, "UINT32": 4,
    "FP32": 4, "INT64": 8, "UINT64": 8, "FP64": 8, "STRING": 4,
}  # fmt: skip
"""Bytes of one zero; an empty string is its length, 0, in four."""

_JSON_ZEROS: Final[Mapping[str, Any]] = {"BOOL": False, "STRING": "", "FP32": 0.0, "FP64": 0.0}
_BINARY_ONLY: Final = frozenset({"FP16", "BF16"})


def infer_path(name: str) -> str:
    return f"/v2/models/{name}/infer"


def probe(name: str, signature: Signature, errors: tuple[bytes, ...]) -> Probe:
    """An inference of zeros (open dimensions are 1), binary both ways: its cost does not grow with JSON's."""
    tensors = [
        {**_head(tensor), "parameters": {"binary_data_size": elements(tensor) * _BYTES[data_type(tensor)]}}
        for tensor in signature.inputs
    ]
    outputs = [{"name": tensor.name, "parameters": {"binary_data": True}} for tensor in signature.outputs]
    head = json.dumps({"inputs": tensors, "outputs": outputs}).encode()
    zeros = sum(tensor["parameters"]["binary_data_size"] for tensor in tensors)
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Probe(infer_path(name), "POST", head, headers, own_errors=errors, zeros=zeros)


def json_zeros(signature: Signature, limits: Limits) -> bytes:
    """The same as JSON; raises `InvalidError` for types that Triton takes in binary only, and beyond the limits."""
    for tensor in signature.inputs:
        if data_type(tensor) in _BINARY_ONLY:
            raise InvalidError(f"input {tensor.name!r} is {tensor.dtype}, which Triton does not take as JSON")
    written = sum(elements(tensor) * len(_item(tensor)) for tensor in signature.inputs)
    limits.check("example_bytes", written, "the example as JSON", "signature.inputs")
    return f'{{"inputs": [{", ".join(map(_zeros, signature.inputs))}]}}'.encode()


def _head(tensor: Tensor) -> dict[str, Any]:
    triton = data_type(tensor)
    return {"name": tensor.name, "shape": _shape(tensor), "datatype": "BYTES" if triton == "STRING" else triton}


def _item(tensor: Tensor) -> str:
    return json.dumps(_JSON_ZEROS.get(data_type(tensor), 0)) + ", "


def _zeros(tensor: Tensor) -> str:
    """Write a tensor with its zeros. No list of them is made, for it would take eight bytes each."""
    data = (_item(tensor) * elements(tensor)).removesuffix(", ")
    return f'{json.dumps(_head(tensor))[:-1]}, "data": [{data}]}}'


def _shape(tensor: Tensor) -> list[int]:
    return [max(1, size) for size in tensor.size or (1,)]
