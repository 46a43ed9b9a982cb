"""Runs TorchScript models. Loading one runs code of its author: it happens in the sandbox alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from klever.converters.programs.compare import Feeds, Runner
from klever.converters.programs.errors import ConversionError
from klever.converters.programs.files import only_match
from klever.converters.programs.tensors import Tensor, signature
from klever.converters.programs.torch_models import OtherResultsError, TorchModel, load_file

__all__ = ["load", "load_model"]


def load(model: Path, request: Mapping[str, Any]) -> tuple[Runner, list[Tensor]]:
    """Return a runner of the one *.pt or *.pth file in a directory, and its inputs. Raises `ConversionError`."""
    loaded = load_model(model, request)

    def run(feeds: Feeds) -> dict[str, NDArray[Any]]:
        try:
            return loaded.call(feeds)
        except (RuntimeError, ValueError, TypeError, OtherResultsError) as error:
            raise ConversionError(f"PyTorch cannot run the model: {error}") from error

    return run, signature(request, "inputs")


def load_model(model: Path, request: Mapping[str, Any]) -> TorchModel:
    """Return the model. Raises `ConversionError` if its signature has no shapes, and if PyTorch cannot load it."""
    inputs, outputs = (signature(request, side) for side in ("inputs", "outputs"))
    unknown = next((tensor.name for tensor in inputs if tensor.size is None), "")
    if unknown or not inputs or not outputs:
        what = f"the shape of input {unknown!r} is not known" if unknown else "its inputs and outputs are not known"
        raise ConversionError(
            f"{what}: TorchScript files have no shapes; declare name, dType and size of each input in the variable "
            "INPUTS of the job, or of each input and output in the signature of ormbfile.yaml"
        )
    path = only_match(model, "*.pt|*.pth", sys.maxsize)
    try:
        return load_file(path, [tensor.name for tensor in inputs], [tensor.name for tensor in outputs])
    except (RuntimeError, ValueError, OSError, AttributeError) as error:
        raise ConversionError(f"PyTorch cannot load {path.name}: {error}") from error
