"""The input tensors of a model, from its signature or from the variable INPUTS of the job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from klever.converters.programs.errors import ConversionError

__all__ = ["Tensor", "given", "signature", "with_inputs"]


@dataclass(frozen=True)
class Tensor:
    """A tensor. `size` has -1 for a dynamic dimension, and is None for an unknown rank. `dtype` is numpy's name.

    `words` are the texts that the model knows; empty for any text.
    """

    name: str
    size: tuple[int, ...] | None
    dtype: str = "float32"
    words: tuple[str, ...] = ()

    @property
    def element(self) -> int:
        """The type as a number of onnx.TensorProto.DataType. Raises `ConversionError`."""
        try:
            return helper.np_dtype_to_tensor_dtype(np.dtype("object" if self.dtype == "string" else self.dtype))
        except (TypeError, KeyError, ValueError) as error:
            raise ConversionError(f"input {self.name}: ONNX has no type {self.dtype!r}") from error

    def dims(self) -> list[int | str] | None:
        """The shape in the form of ONNX, with a name for each dynamic dimension."""
        if self.size is None:
            return None
        names = ["batch" if axis == 0 else f"{self.name}_{axis}" for axis in range(len(self.size))]
        return [name if dim < 0 else dim for name, dim in zip(names, self.size, strict=True)]


def given(names: Iterable[str], request: Mapping[str, Any]) -> list[Tensor]:
    """Return the inputs with these names as the signature has them. Raises `ConversionError` if a shape is missing."""
    known = {tensor.name: tensor for tensor in signature(request, "inputs")}
    return [_known(name, known) for name in names]


def with_inputs(request: Mapping[str, Any], env: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the request with the inputs of the variable INPUTS in its signature.

    As in the original's jobs, INPUTS takes precedence over the signature, unless USING_ORMBFILE is set. Raises
    `ConversionError`.
    """
    if not env.get("INPUTS") or env.get("USING_ORMBFILE"):
        return request
    written = _parsed(env["INPUTS"])
    _tensors(written, "INPUTS")
    metadata = request.get("metadata") or {}
    before = metadata.get("signature") or {}
    inputs = {tensor["name"]: tensor for tensor in (*(before.get("inputs") or []), *written)}
    return {**request, "metadata": {**metadata, "signature": {**before, "inputs": list(inputs.values())}}}


def _known(name: str, known: Mapping[str, Tensor]) -> Tensor:
    if name not in known or known[name].size is None:
        raise ConversionError(
            f"the shape of input {name!r} is unknown: set it in the variable INPUTS of the job, for example "
            f'[{{"name": "{name}", "dType": "float32", "size": [-1, 3, 224, 224]}}], or in the signature of '
            "ormbfile.yaml"
        )
    return known[name]


def signature(request: Mapping[str, Any], side: str) -> list[Tensor]:
    """Return the `inputs` or `outputs` of the model's signature; empty if it has none."""
    found = (request.get("metadata") or {}).get("signature") or {}
    return _tensors(found.get(side) or [], "the signature")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"INPUTS is not valid JSON: {error}") from error


def _tensors(documents: Any, where: str) -> list[Tensor]:
    try:
        return [_tensor(document) for document in documents]
    except (TypeError, KeyError, ValueError) as error:
        raise ConversionError(f"{where}: expected a list of objects with name, dType and size") from error


def _tensor(document: Mapping[str, Any]) -> Tensor:
    size = document.get("size")
    return Tensor(
        str(document["name"]),
        None if size is None else tuple(int(dim) for dim in size),
        str(document.get("dType") or "float32"),
    )
