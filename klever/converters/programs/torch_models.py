"""Loads TorchScript models and runs them by names. It stands alone: Triton's Python backend runs it, too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["OtherResultsError", "TorchModel", "load_file"]

_INDEX: Final = re.compile(r".+__(\d+)")
"""A tensor that is named by its place, as Triton's own backend does: `INPUT__0`."""
_SCALARS: Final = frozenset({"int", "float", "bool", "number"})


class OtherResultsError(Exception):
    """The model returns something else than its signature says."""


class TorchModel:
    """A module whose `forward` takes and returns arrays by the names of a signature.

    An input has the name of an argument of `forward`; if none does, the inputs are the arguments in order. An output
    has the name of a key of the returned dictionary or of a field of the named tuple; otherwise the outputs are the
    results in order. `NAME__0` is the first one. Raises `ValueError` for inputs that do not fit `forward`.
    """

    def __init__(self, module: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.module = module
        self._outputs = _by_index(outputs)
        arguments = module.forward.schema.arguments[1:]  # the first one is the module
        self._kinds = {argument.name: str(argument.type) for argument in arguments}
        self._arguments = _arguments(arguments, inputs)

    def call(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs by name, for inputs by name; raises `OtherResultsError`, and whatever PyTorch does."""
        with torch.inference_mode():
            return {name: _array(value) for name, value in self.results(self.given(arrays)).items()}

    def given(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the arguments of `forward` by name."""
        return {argument: _argument(arrays[name], self._kinds[argument]) for argument, name in self._arguments.items()}

    def results(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Run the module; returns the outputs by name, as the module returns them."""
        value = self.module(**given)
        fields = value if isinstance(value, dict) else getattr(value, "_asdict", dict)()
        if self._outputs.keys() <= fields.keys():
            return {name: fields[name] for name in self._outputs}
        values = list(value) if isinstance(value, tuple | list) and not _is_text(value) else [value]
        if isinstance(value, dict) or max(self._outputs.values()) >= len(values):
            found = ", ".join(map(str, fields)) or f"{len(values)} results without names"
            raise OtherResultsError(f"the model returns {found}, and its signature says {', '.join(self._outputs)}")
        return {name: values[index] for name, index in self._outputs.items()}


def load_file(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> TorchModel:
    """Return the model in a file. It raises whatever PyTorch does."""
    return TorchModel(torch.jit.load(str(path), map_location="cpu").eval(), inputs, outputs)


def _arguments(arguments: Sequence[Any], inputs: Sequence[str]) -> dict[str, str]:
    """Return the input for each argument of `forward` that gets one."""
    names = [argument.name for argument in arguments]
    if set(inputs) <= set(names):
        found = {name: name for name in inputs}
    else:
        found = {names[index]: name for name, index in _by_index(inputs).items() if index < len(names)}
    missing = [one.name for one in arguments if one.name not in found and not one.has_default_value()]
    if missing or len(found) < len(inputs):
        raise ValueError(
            f"forward takes {', '.join(names) or 'no arguments'}, and the signature has the inputs {', '.join(inputs)}"
        )
    return found


def _by_index(names: Sequence[str]) -> dict[str, int]:
    """Return the place of each name: the one that it says, if all of them say one, or the one that it has."""
    said = [_INDEX.fullmatch(name) for name in names]
    if len(names) > 1 and all(said):
        return {name: int(match[1]) for name, match in zip(names, said, strict=True) if match}
    return {name: index for index, name in enumerate(names)}


def _argument(array: NDArray[Any], kind: str) -> Any:
    if array.dtype.kind == "O":
        text = [value.decode() if isinstance(value, bytes) else str(value) for value in array.ravel()]
        return text[0] if kind == "str" else text
    return array.reshape(-1)[0].item() if kind in _SCALARS else torch.from_numpy(array)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _array(value: Any) -> NDArray[Any]:
    if _is_text(value):
        return np.array([item.encode() for item in ([value] if isinstance(value, str) else value)], object)
    array: NDArray[Any] = value.detach().cpu().contiguous().numpy() if hasattr(value, "detach") else np.asarray(value)
    return array
