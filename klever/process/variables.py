"""Environment variables in the form of Kubernetes, for processes of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from klever.errors import FieldViolation

__all__ = ["check_variables", "variables"]


def variables(env: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the values by name. The variables must have passed `check_variables`."""
    return {variable["name"]: variable.get("value", "") for variable in env}


def check_variables(env: Iterable[Mapping[str, Any]]) -> Iterator[FieldViolation]:
    """Yield the variables that a process cannot have, at paths such as `env[NAME].value`."""
    for variable in env:
        where = f"env[{variable['name']}]"
        if "valueFrom" in variable:
            yield FieldViolation(f"{where}.valueFrom", "is supported on Kubernetes only: set a value")
        if "\0" in variable.get("value", ""):
            yield FieldViolation(f"{where}.value", "must not contain a NUL character")
