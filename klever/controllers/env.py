"""Environment variables that users must not set, wherever their Servings and jobs run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from klever.api.environment import is_reserved
from klever.errors import FieldViolation

__all__ = ["reserved_variables"]


def reserved_variables(env: Iterable[Mapping[str, Any]], *, own_command: bool = False) -> Iterator[FieldViolation]:
    """Yield a violation, at a path such as `env[NAME]`, for each variable that only the platform may set.

    The CRDs reject them, but an object may be older than its CRD.
    """
    for variable in env:
        if is_reserved(variable["name"], own_command=own_command):
            yield FieldViolation(
                f"env[{variable['name']}]",
                "must not be set: it is reserved for the platform, or a loader, shell or interpreter reads it",
            )
