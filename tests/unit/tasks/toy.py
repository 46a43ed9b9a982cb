"""A toy converter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from klever.converters import MemoryNeed
from klever.errors import FieldViolation, InvalidError

__all__ = ["Doubler"]


class Doubler:
    source = "ONNX"
    target = "ONNX"
    environment = "toy"
    program = Path(__file__).with_name("doubler.py")
    memory = MemoryNeed()
    options: Mapping[str, Any] = MappingProxyType({"factor": 2})

    def check(self, env: Mapping[str, str]) -> None:
        if not env.get("INPUTS"):
            raise InvalidError(violations=(FieldViolation("spec.env[INPUTS]", "is required"),))
