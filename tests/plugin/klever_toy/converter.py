"""The conversion of a linear regression in PMML to Toy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from klever.converters import MemoryNeed
from klever.errors import FieldViolation, InvalidError

__all__ = ["PMML_TO_TOY"]


class PmmlToToy:
    """Describes the conversion; `programs/convert.py` does it."""

    source = "PMML"
    target = "Toy"
    environment = "toy"
    program = Path(__file__).parent / "programs" / "convert.py"
    memory = MemoryNeed(256 << 20)
    options: Mapping[str, Any] = MappingProxyType({})

    def check(self, env: Mapping[str, str]) -> None:
        """Raise `InvalidError`: the program takes no variables."""
        if env:
            violations = tuple(FieldViolation(f"spec.env[{name}]", "is not supported") for name in sorted(env))
            raise InvalidError(violations=violations)


PMML_TO_TOY = PmmlToToy()
