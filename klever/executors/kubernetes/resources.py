"""The resources of a step: those of the job's spec, or of the variables that jobs of Klever's predecessor have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from klever.api.quantities import read_quantity
from klever.errors import FieldViolation
from klever.executors import Task

__all__ = ["check_step_resources", "step_resources"]

_PREFIXES: Final[Mapping[str, str]] = {"fetch": "MODEL_INITIALIZER", "work": "MODELJOB_TASK", "run": "MODELJOB_TASK"}
"""The beginning of the variables of a step. CPU and MEM are both given, or none: they are requests and limits."""
_NAMES: Final[Mapping[str, str]] = {"CPU": "cpu", "MEM": "memory"}


def step_resources(task: Task, step: str) -> Mapping[str, Any]:
    """Return the resources of a step; empty if neither the spec nor a variable sets them."""
    if task.resources and step in ("work", "run"):
        return task.resources
    quantities = {name: value for _, name, value in _given(task, _PREFIXES.get(step, ""))}
    return {"requests": quantities, "limits": quantities} if quantities else {}


def check_step_resources(task: Task) -> Iterator[FieldViolation]:
    """Yield a violation for each of the variables that is not a quantity, or lacks its counterpart."""
    for prefix in sorted(set(_PREFIXES.values())):
        given = list(_given(task, prefix))
        for variable, _, value in given:
            if read_quantity(value) is None:
                yield FieldViolation(
                    f"env[{variable}].value", f"invalid quantity {value!r}: must be such as 500m or 512Mi"
                )
        if len(given) == 1:
            missing = next(suffix for suffix, name in _NAMES.items() if name != given[0][1])
            yield FieldViolation(f"env[{given[0][0]}]", f"needs {prefix}_{missing} beside it")


def _given(task: Task, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield the variables of a prefix: their names, the resources, and the quantities."""
    values = {one["name"]: str(one.get("value", "")) for one in task.env}
    for suffix, name in _NAMES.items():
        if prefix and values.get(variable := f"{prefix}_{suffix}"):
            yield variable, name, values[variable]
