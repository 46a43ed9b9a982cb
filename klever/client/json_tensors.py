"""Requests and responses of the Open Inference Protocol as JSON, for runtimes without gRPC. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from tritonclient.utils import triton_to_np_dtype

from klever.client.tensors import Array, Prediction
from klever.errors import UnavailableError

__all__ = ["from_metadata", "from_response", "to_body"]


def from_metadata(text: str) -> list[Any]:
    """Return the inputs of a model, with name, datatype and shape. Raises `UnavailableError` for another document."""
    try:
        return [SimpleNamespace(name=t["name"], datatype=t["datatype"], shape=t["shape"]) for t in _inputs(text)]
    except (KeyError, TypeError, ValueError) as error:
        raise UnavailableError(f"the model did not describe its inputs: {error!r}") from error


def to_body(inputs: Mapping[str, Array], described: list[Any]) -> bytes:
    """Return the body of a request. Bytes are sent as text in UTF-8."""
    datatypes = {tensor.name: tensor.datatype for tensor in described}
    tensors = [
        {"name": name, "datatype": datatypes[name], "shape": array.shape, "data": array.ravel().tolist()}
        for name, array in inputs.items()
    ]
    return json.dumps({"inputs": tensors}, default=bytes.decode).encode()


def from_response(text: str) -> Prediction:
    """Return the outputs. Raises `UnavailableError` for a response of another form."""
    try:
        document = json.loads(text)
        outputs = {tensor["name"]: _array(tensor) for tensor in document["outputs"]}
        return Prediction(outputs, document.get("model_name", ""), document.get("model_version", ""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(f"the response does not follow the Open Inference Protocol: {error!r}") from error


def _inputs(text: str) -> Any:
    return json.loads(text)["inputs"]


def _array(tensor: Mapping[str, Any]) -> Array:
    dtype = triton_to_np_dtype(tensor["datatype"])
    data = [v.encode() if isinstance(v, str) else v for v in np.array(tensor["data"], object).ravel().tolist()]
    return np.array(data, dtype=dtype).reshape(tuple(tensor["shape"]))
