"""Makes requests of the Open Inference Protocol v2 from a signature: the health probe and the example.

Both are zeros in the signature's shapes, with 1 for a dynamic dimension. Sources: the protocol's
specification/protocol/inference_rest.md, and Triton's docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from klever.errors import InvalidError
from klever.formats.bounds import elements
from klever.formats.signature import Signature, Tensor
from klever.limits import Limits
from klever.runtimes import Probe

__all__ = ["datatype", "example", "infer_path", "model_path", "probe", "protocol_type", "read_inputs"]

_TYPES: Final[Mapping[str, tuple[str, int]]] = {
    "bool": ("BOOL", 1),
    **{f"{sign}int{bits}": (f"{sign.upper()}INT{bits}", bits // 8) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": ("FP16", 2),
    "bfloat16": ("BF16", 2),
    "float32": ("FP32", 4),
    "float64": ("FP64", 8),
    "object": ("BYTES", 4),
    "string": ("BYTES", 4),
}
"""Type of a signature -> the protocol's type, and the bytes of a zero. An empty string has a length of four bytes."""
_DTYPES: Final = {datatype: dtype for dtype, (datatype, _) in _TYPES.items()}
_JSON_ZEROS: Final[Mapping[str, Any]] = {"BOOL": False, "BYTES": "", "FP32": 0.0, "FP64": 0.0}
_BINARY_ONLY: Final = frozenset({"FP16", "BF16"})


def model_path(name: str) -> str:
    """Return the path of a model's metadata."""
    return f"/v2/models/{name}"


def infer_path(name: str) -> str:
    """Return the path of a model's inferences."""
    return f"{model_path(name)}/infer"


def protocol_type(dtype: str) -> str:
    """Return the protocol's name of a signature's type, e.g. `FP32`; empty if it has none."""
    return _TYPES.get(dtype.lower(), ("", 0))[0]


def datatype(tensor: Tensor) -> str:
    """Return the protocol's name of a tensor's type, e.g. `FP32`. Raises `InvalidError` that names the tensor."""
    return _type(tensor)[0]


def probe(name: str, signature: Signature, own_errors: tuple[bytes, ...]) -> Probe:
    """Return an inference of zeros, in binary for request and response, which costs less than JSON."""
    sizes = [elements(tensor) * _type(tensor)[1] for tensor in signature.inputs]
    tensors = [
        {**_head(tensor), "parameters": {"binary_data_size": size}}
        for tensor, size in zip(signature.inputs, sizes, strict=True)
    ]
    outputs = [{"name": tensor.name, "parameters": {"binary_data": True}} for tensor in signature.outputs]
    head = json.dumps({"inputs": tensors, "outputs": outputs}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Probe(infer_path(name), "POST", head, headers, own_errors=own_errors, zeros=sum(sizes))


def example(inputs: Sequence[Tensor], limits: Limits) -> bytes:
    """Return a request of zeros as JSON.

    Raises `InvalidError` for a type that JSON does not support, and for a request beyond the limits.
    """
    for tensor in inputs:
        if datatype(tensor) in _BINARY_ONLY:
            raise InvalidError(
                f"input {tensor.name!r} has the type {tensor.dtype}, which the protocol does not support in JSON"
            )
    written = sum(elements(tensor) * len(_item(tensor)) for tensor in inputs)
    limits.check("example_bytes", written, "the example as JSON", "signature.inputs")
    return f'{{"inputs": [{", ".join(map(_zeros, inputs))}]}}'.encode()


def read_inputs(metadata: str) -> tuple[Tensor, ...]:
    """Return the inputs in a server's metadata of a model. Raises `InvalidError`."""
    try:
        return tuple(_tensor(**tensor) for tensor in json.loads(metadata)["inputs"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidError(
            f"invalid model metadata: expected inputs with name, datatype and shape ({error!r})"
        ) from error


def _tensor(name: str, datatype: str, shape: list[int], **_: Any) -> Tensor:  # servers may add fields
    if not all(isinstance(size, int) for size in shape):
        raise TypeError(f"the shape of {name} has a size that is not an integer")
    return Tensor(name, tuple(shape), _DTYPES.get(datatype, datatype))


def _type(tensor: Tensor) -> tuple[str, int]:
    try:
        return _TYPES[tensor.dtype]
    except KeyError as error:
        message = f"tensor {tensor.name!r} has the type {tensor.dtype!r}, which the Open Inference Protocol lacks"
        raise InvalidError(message) from error


def _head(tensor: Tensor) -> dict[str, Any]:
    # Servers of the protocol have no scalars: a scalar is a vector of one value.
    shape = [max(1, size) for size in tensor.size or (1,)]
    return {"name": tensor.name, "shape": shape, "datatype": datatype(tensor)}


def _item(tensor: Tensor) -> str:
    return json.dumps(_JSON_ZEROS.get(datatype(tensor), 0)) + ", "


def _zeros(tensor: Tensor) -> str:
    """Return the JSON of a tensor of zeros. A list of them would take eight bytes each."""
    data = (_item(tensor) * elements(tensor)).removesuffix(", ")
    return f'{json.dumps(_head(tensor))[:-1]}, "data": [{data}]}}'
