"""Writes a case of a served model below tests/data: its directory, and `case.json` with a request and the answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Arrays", "write"]

DATA = Path(__file__).parents[2] / "tests" / "data"
TYPES = {
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "bool": "BOOL",
    "object": "BYTES",
    **{f"{sign}int{bits}": f"{sign}int{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
Arrays = Mapping[str, np.ndarray[Any, Any]]


def write(name: str, save: Callable[[Path], Any], inputs: Arrays, outputs: Arrays, *, declared: bool = False) -> None:
    """Write one case; `save` writes the model's files into the directory that it is given.

    With `declared`, the signature is in ormbfile.yaml. The first dimension of each tensor is dynamic.
    """
    directory = DATA / name
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "model").mkdir(parents=True)
    save(directory / "model")
    case = {"inputs": list(map(tensor, inputs.items())), "outputs": list(map(tensor, outputs.items()))}
    (directory / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    if declared:
        signature = {"inputs": list(map(described, inputs.items())), "outputs": list(map(described, outputs.items()))}
        (directory / "ormbfile.yaml").write_text(json.dumps({"signature": signature}, indent=1) + "\n")


def tensor(item: tuple[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    name, array = item
    data = [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]
    return {"name": name, "datatype": TYPES[str(array.dtype)], "shape": array.shape, "data": data}


def described(item: tuple[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    name, array = item
    dtype = "string" if array.dtype.kind == "O" else str(array.dtype)
    return {"name": name, "size": [-1, *array.shape[1:]], "dType": dtype}
