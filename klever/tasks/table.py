"""The tasks, by the field of a ModelJob's spec that requests one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from klever import formats
from klever.converters import Converter
from klever.converters.table import converter
from klever.errors import InvalidError
from klever.tasks.job import Job

__all__ = ["check", "conversion", "module", "run"]

_TASKS: Final = {"extraction": "klever.tasks.extraction", "conversion": "klever.tasks.conversion"}


def check(spec: Mapping[str, Any]) -> None:
    """Raise `InvalidError` for a ModelJob spec without a suitable task."""
    if found := conversion(spec):
        found.check({variable["name"]: variable.get("value", "") for variable in spec.get("env", ())})
        return
    format_ = formats.get(spec["extraction"]["format"])
    if spec.get("desiredTag") and not format_.extractable:
        readable = ", ".join(name for name in formats.names() if formats.get(name).extractable)
        raise InvalidError(
            f"the signature of {format_.name} models cannot be read (supported formats: {readable}), so nothing "
            f"would be written to {spec['desiredTag']}: remove desiredTag"
        )


def conversion(spec: Mapping[str, Any]) -> Converter | None:
    """Return the converter of a ModelJob spec, None for an extraction. Raises `InvalidError` if there is none."""
    if not spec.get("conversion"):
        return None
    pair = spec["conversion"].get("mmdnn", {})
    return converter(pair.get("from", ""), pair.get("to", ""))


def module(spec: Mapping[str, Any]) -> str:
    """Return the module of the task for a ModelJob spec that passed `check`."""
    return next(module for field, module in _TASKS.items() if spec.get(field))


def run(module_: str, step: str, job: Job) -> dict[str, Any]:
    """Run a step of the task in that module. Raises `StepError`."""
    result: dict[str, Any] = getattr(import_module(module_), step)(job)
    return result
