"""Environment variables of what runs as a process here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from klever.api.environment import is_reserved
from klever.errors import FieldViolation, InvalidError

__all__ = ["values_of"]


def values_of(env: Iterable[dict[str, Any]], path: str, *, own_command: bool = False) -> dict[str, str]:
    """Return values by name.

    Raises `InvalidError` for a value from a source that only Kubernetes has, for what no process can have, and for what
    only the platform may set. The CRDs refuse the latter, but an object may be older than its CRD.
    """
    for variable in env:
        where = f"{path}[{variable['name']}]"
        if is_reserved(variable["name"], own_command=own_command):
            violation = FieldViolation(
                where, "must not be set: it is the platform's, or loaders, shells or interpreters read it"
            )
            raise InvalidError(violations=(violation,))
        if "valueFrom" in variable:
            violation = FieldViolation(f"{where}.valueFrom", "has a source on Kubernetes only: give a value")
            raise InvalidError(violations=(violation,))
        if "\0" in variable.get("value", ""):
            raise InvalidError(violations=(FieldViolation(f"{where}.value", "holds a NUL character"),))
    return {variable["name"]: variable.get("value", "") for variable in env}
