"""Environment variables as Kubernetes writes them, for what runs as a process of this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from klever.errors import FieldViolation

__all__ = ["check_variables", "variables"]


def variables(env: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the values by name; `check_variables` finds nothing wrong with them."""
    return {variable["name"]: variable.get("value", "") for variable in env}


def check_variables(env: Iterable[Mapping[str, Any]]) -> Iterator[FieldViolation]:
    """Yield why a process cannot have a variable, at paths such as `env[NAME].value`."""
    for variable in env:
        where = f"env[{variable['name']}]"
        if "valueFrom" in variable:
            yield FieldViolation(f"{where}.valueFrom", "is supported on Kubernetes only: set a value")
        if "\0" in variable.get("value", ""):
            yield FieldViolation(f"{where}.value", "must not contain a NUL character")
