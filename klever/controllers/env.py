"""Environment variables of what runs as a process here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from klever.errors import FieldViolation, InvalidError

__all__ = ["values_of"]


def values_of(env: Iterable[dict[str, Any]], path: str) -> dict[str, str]:
    """Return values by name. Raises `InvalidError` for one that is to come from elsewhere: nothing here knows it."""
    for variable in env:
        if "valueFrom" in variable:
            field = f"{path}[{variable['name']}].valueFrom"
            raise InvalidError(violations=(FieldViolation(field, "has a source on Kubernetes only: give a value"),))
    return {variable["name"]: variable.get("value", "") for variable in env}
