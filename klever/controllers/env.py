"""Environment variables of what runs as a process here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from klever.errors import FieldViolation, InvalidError

__all__ = ["values_of"]


def values_of(env: Iterable[dict[str, Any]], path: str) -> dict[str, str]:
    """Return values by name.

    Raises `InvalidError` for one that is to come from elsewhere, which nothing here knows, and for what no process can
    have.
    """
    for variable in env:
        where = f"{path}[{variable['name']}]"
        if "valueFrom" in variable:
            violation = FieldViolation(f"{where}.valueFrom", "has a source on Kubernetes only: give a value")
            raise InvalidError(violations=(violation,))
        if "\0" in variable.get("value", ""):
            raise InvalidError(violations=(FieldViolation(f"{where}.value", "holds a NUL character"),))
    return {variable["name"]: variable.get("value", "") for variable in env}
