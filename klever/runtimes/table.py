"""The table of runtimes. A runtime is a module or package and a row here, or comes from a plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from klever.errors import InvalidError
from klever.plugins import Table
from klever.runtimes import Runtime

__all__ = ["COMMANDS", "RUNTIMES", "create", "create_all", "default_runtime"]


def _claims(row: Any) -> tuple[str]:
    name = getattr(row, "name", None)
    if not isinstance(row, type) or not isinstance(name, str):
        raise TypeError(f"expected a class with a name, not {row!r}")
    return (name,)


_BUILT_IN: Final[Mapping[str, str]] = {
    "custom": "klever.runtimes.custom:CustomRuntime",
    "llamacpp": "klever.runtimes.llamacpp:LlamaCppRuntime",
    "openscoring": "klever.runtimes.openscoring:OpenScoringRuntime",
    "triton": "klever.runtimes.triton:TritonRuntime",
}
"""Name -> the class, as module:Class."""

RUNTIMES: Final = Table[str, Callable[..., Runtime]]("klever.runtimes", _BUILT_IN, _claims)
"""The classes by the names of their runtimes, including those of plugins."""

COMMANDS: Final = "custom"
"""The runtime of a predictor with a command and without a runtime."""


def create(name: str, **options: Any) -> Runtime:
    """Make a runtime with the options of its class. Raises `InvalidError` for an unknown name."""
    try:
        make = RUNTIMES[name]
    except KeyError as error:
        raise InvalidError(f"unknown runtime {name!r}: must be one of {', '.join(sorted(RUNTIMES))}") from error
    return make(**options)


def create_all(**options: Mapping[str, Any]) -> dict[str, Runtime]:
    """Make every runtime of the table. `options` are those of a class, by the runtime's name."""
    return {name: create(name, **options.get(name, {})) for name in RUNTIMES}


def default_runtime(runtimes: Mapping[str, Runtime], format_: str) -> str:
    """Return the first runtime, by name, that serves the format. Raises `InvalidError` if there is none."""
    for name, runtime in sorted(runtimes.items()):
        if format_ in runtime.formats:
            return name
    served = ", ".join(sorted(frozenset().union(*(runtime.formats for runtime in runtimes.values()))))
    raise InvalidError(
        f"no runtime serves the format {format_!r}: must be one of {served}, or the predictor needs a command"
    )
