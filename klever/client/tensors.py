"""Requests and responses of the Open Inference Protocol, from and to numpy arrays. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

from klever.errors import InvalidError

__all__ = ["METHODS", "Array", "Prediction", "metadata_request", "to_inputs", "to_prediction", "to_request"]

Array = npt.NDArray[Any]

METHODS = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
"""The RPCs of the protocol."""


class Prediction(Mapping[str, Array]):
    """The outputs of a model by their names, in the order of the model.

    `model_name` and `model_version` say which model answered.
    """

    def __init__(self, outputs: Mapping[str, Array], model_name: str = "", model_version: str = "") -> None:
        self._outputs = dict(outputs)
        self.model_name = model_name
        self.model_version = model_version

    @property
    def array(self) -> Array:
        """The only output. Raises `InvalidError` if there are several."""
        if len(self._outputs) != 1:
            raise InvalidError(f"the model has {len(self._outputs)} outputs: take one of {', '.join(self._outputs)}")
        return next(iter(self._outputs.values()))

    def __getitem__(self, name: str) -> Array:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        return f"Prediction({self._outputs!r})"


def to_inputs(given: Any, described: list[Any]) -> dict[str, Array]:
    """Return the arrays of a request by the names of the model's inputs.

    `given` is a mapping by name, or the value of the only input. `described` have name, datatype and shape. Raises
    `InvalidError` for an unknown name, and for a value that the input's type cannot hold.
    """
    known = {tensor.name: tensor for tensor in described}
    if not isinstance(given, Mapping):
        if len(known) != 1:
            raise InvalidError(f"the model has {len(known)} inputs: name each of {', '.join(known)}")
        given = {next(iter(known)): given}
    if unknown := [name for name in given if name not in known]:
        raise InvalidError(f"{unknown[0]}: unknown input: expected {', '.join(known)}")
    return {name: to_array(value, known[name]) for name, value in given.items()}


def to_array(value: Any, tensor: Any) -> Array:
    """Return a value as an array of the type of an input, with as many dimensions as the input has.

    Dimensions that the value lacks are added in front, each of size 1. Raises `InvalidError`.
    """
    dtype = triton_to_np_dtype(tensor.datatype)
    if dtype is None:
        raise InvalidError(f"{tensor.name}: unknown datatype {tensor.datatype} of the model")
    try:
        # numpy's own type of bytes has no zeros at its end
        array: Array = np.asarray(value, dtype if dtype is np.object_ else None)
        converted: Array = array.astype(dtype, casting="same_kind", copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidError(f"{tensor.name}: expected {tensor.datatype}: {error}") from error
    if np.issubdtype(converted.dtype, np.integer) and not np.array_equal(converted, array):
        raise InvalidError(f"{tensor.name}: a value does not fit in {tensor.datatype}")
    missing = max(len(tensor.shape) - converted.ndim, 0)
    return converted.reshape((1,) * missing + converted.shape)


def to_request(name: str, inputs: Mapping[str, Array], described: list[Any]) -> Any:
    """Return a ModelInferRequest."""
    datatypes = {tensor.name: tensor.datatype for tensor in described}
    request = service_pb2.ModelInferRequest(model_name=name)
    for tensor, array in inputs.items():
        request.inputs.add(name=tensor, datatype=datatypes[tensor], shape=array.shape)
        request.raw_input_contents.append(_raw(array))
    return request


def metadata_request(name: str) -> Any:
    """Return a ModelMetadataRequest."""
    return service_pb2.ModelMetadataRequest(name=name)


def to_prediction(response: Any) -> Prediction:
    """Return the outputs of a ModelInferResponse. Raises `InvalidError` for a datatype that numpy lacks."""
    raw = list(response.raw_output_contents)
    outputs = {
        tensor.name: _output(tensor, raw[at] if raw else None).reshape(tuple(tensor.shape))
        for at, tensor in enumerate(response.outputs)
    }
    return Prediction(outputs, response.model_name, response.model_version)


def _raw(array: Array) -> bytes:
    if array.dtype == np.object_:
        return bytes(serialize_byte_tensor(array).item()) if array.size else b""
    return array.tobytes()


def _output(tensor: Any, raw: bytes | None) -> Array:
    dtype = triton_to_np_dtype(tensor.datatype)
    if dtype is None:
        raise InvalidError(f"{tensor.name}: unknown datatype {tensor.datatype} of an output")
    if raw is None:  # a server may send typed values instead
        values = next((value for field, value in tensor.contents.ListFields() if field.name.endswith("contents")), ())
        return np.array(list(values), dtype=dtype)
    if dtype is np.object_:
        array: Array = deserialize_bytes_tensor(raw)
        return array
    return np.frombuffer(raw, dtype=dtype)
