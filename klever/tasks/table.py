"""The tasks that there are, by the field of a ModelJob's spec that asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from klever import formats
from klever.errors import InvalidError
from klever.tasks.job import Job

__all__ = ["check", "module", "run"]

_TASKS: Final = {"extraction": "klever.tasks.extraction"}


def check(spec: Mapping[str, Any]) -> None:
    """Raise `InvalidError` for a ModelJob spec that no task here can do."""
    if spec.get("conversion"):
        pair = spec["conversion"].get("mmdnn", {})
        raise InvalidError(
            f"no conversion from {pair.get('from')} to {pair.get('to')} is installed; there are: none",
            reason="UNSUPPORTED_CONVERSION",
        )
    format_ = formats.get(spec["extraction"]["format"])
    if spec.get("desiredTag") and not format_.extractable:
        readable = ", ".join(name for name in formats.names() if formats.get(name).extractable)
        raise InvalidError(
            f"the signature of {format_.name} models cannot be read (of these it can: {readable}), so that nothing "
            f"would be written to {spec['desiredTag']}: remove desiredTag"
        )


def module(spec: Mapping[str, Any]) -> str:
    """Return the module of the task for a ModelJob spec that `check` passed."""
    return next(module for field, module in _TASKS.items() if spec.get(field))


def run(module_: str, job: Job) -> dict[str, Any]:
    """Run the task of that module; raises `StepError`."""
    result: dict[str, Any] = import_module(module_).run(job)
    return result
