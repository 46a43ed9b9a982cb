"""Requests from values by the name of their input, for the protocol of each runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from klever.errors import InvalidError
from klever.formats.signature import Tensor
from klever.runtimes import openinference

__all__ = ["arguments", "tensors"]


def tensors(metadata: str, values: Mapping[str, Any]) -> bytes:
    """Return a request of the Open Inference Protocol, with types from the metadata and shapes from the values.

    A value with one dimension less than the model expects is a batch of one. Raises `InvalidError`.
    """
    inputs = openinference.read_inputs(metadata)
    _check_names([tensor.name for tensor in inputs], values)
    return json.dumps({"inputs": [_tensor(tensor, values[tensor.name]) for tensor in inputs]}).encode()


def arguments(schema: str, values: Mapping[str, Any]) -> bytes:
    """Return a request of OpenScoring. Raises `InvalidError` for names that the schema lacks."""
    try:
        names = [str(field["id"]) for field in json.loads(schema)["schema"]["inputFields"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"invalid schema: expected inputFields with id ({error!r})") from error
    if unknown := [name for name in values if name not in names]:
        raise InvalidError(f"unknown input {unknown[0]!r}: the model has {', '.join(names)}")
    return json.dumps({"id": "predict", "arguments": values}).encode()


def _check_names(names: list[str], values: Mapping[str, Any]) -> None:
    wrong = [f"unknown input {name!r}" for name in values if name not in names]
    wrong += [f"missing input {name!r}" for name in names if name not in values]
    if wrong:
        raise InvalidError(f"{', '.join(wrong)}: the model has {', '.join(names)}")


def _tensor(tensor: Tensor, value: Any) -> dict[str, Any]:
    shape = _shape(tensor.name, value)
    expected = tensor.size or ()
    if len(shape) + 1 == len(expected) and expected[0] in (-1, 1):
        shape = [1, *shape]
    return {
        "name": tensor.name,
        "datatype": openinference.datatype(tensor),
        "shape": shape or [1],
        "data": list(_flat(value)),
    }


def _shape(name: str, value: Any) -> list[int]:
    """Return the shape of nested lists, empty for a scalar. Raises `InvalidError` unless it is regular."""
    if not isinstance(value, list):
        return []
    shapes = [_shape(name, item) for item in value]
    if any(shape != shapes[0] for shape in shapes):
        raise InvalidError(f"input {name!r} must be a regular array: its lists have different lengths")
    return [len(value), *(shapes[0] if shapes else ())]


def _flat(value: Any) -> Iterator[Any]:
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from _flat(item)
