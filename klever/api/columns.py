"""The columns of a table of objects, with the JSON paths of their CustomResourceDefinition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

__all__ = ["Column"]

_STEP: Final = re.compile(r"""\.(?P<name>[A-Za-z]\w*)|\[\?\(@\.(?P<field>\w+)==["'](?P<value>[^"']*)["']\)\]""")


@dataclass(frozen=True)
class Column:
    """One column. `type` is that of a CRD: string, integer or date. A `wide` column is shown on request only."""

    name: str
    path: str
    type: str
    wide: bool = False

    def value(self, obj: Any) -> Any:
        """Return the value of an object (decoded JSON) at the path; None if there is none."""
        for step in self._steps:
            if step["name"]:
                obj = obj.get(step["name"]) if isinstance(obj, dict) else None
            else:
                items = obj if isinstance(obj, list) else ()
                obj = next((item for item in items if item.get(step["field"]) == step["value"]), None)
        return obj

    @cached_property
    def _steps(self) -> list[re.Match[str]]:
        """Parse the path. Raises `ValueError` unless it consists of fields and `[?(@.FIELD=="VALUE")]`."""
        steps = list(_STEP.finditer(self.path))
        if "".join(step[0] for step in steps) != self.path:
            raise ValueError(f"unsupported JSON path {self.path!r}")
        return steps
