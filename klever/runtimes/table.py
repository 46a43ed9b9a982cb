"""The runtimes that there are: adding one is a package and a row here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from klever.errors import InvalidError
from klever.runtimes import Runtime

__all__ = ["DEFAULTS", "RUNTIMES", "create", "default_runtime"]

RUNTIMES: Final[Mapping[str, str]] = {
    "custom": "klever.runtimes.custom:CustomRuntime",
    "triton": "klever.runtimes.triton:TritonRuntime",
}
"""Name -> the class, as module:Class."""

DEFAULTS: Final[Mapping[str, str]] = {
    "GraphDef": "triton",
    "NetDef": "triton",
    "ONNX": "triton",
    "SavedModel": "triton",
    "TensorRT": "triton",
    "TorchScript": "triton",
}
"""Format -> the runtime of a predictor that names none."""


def create(name: str, **options: Any) -> Runtime:
    """Make a runtime with the options of its class; raises `InvalidError` if the table has none of that name."""
    try:
        module, _, attribute = RUNTIMES[name].partition(":")
    except KeyError as error:
        raise InvalidError(f"no runtime is named {name!r}; there are: {', '.join(sorted(RUNTIMES))}") from error
    runtime: Runtime = getattr(import_module(module), attribute)(**options)
    return runtime


def default_runtime(format_: str) -> str:
    """The runtime for a model's format; raises `InvalidError` if nothing here serves it."""
    try:
        return DEFAULTS[format_]
    except KeyError as error:
        served = ", ".join(sorted(DEFAULTS))
        known = f"there are runtimes for {served}, where their backends are installed"
        raise InvalidError(f"no runtime here serves the format {format_!r}; {known}") from error
