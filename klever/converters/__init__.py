"""Converters from one model format to another. Each is a program that runs outside the platform's process.

A converter is a module of this folder with a row in `klever.converters.table`. It only describes the program. An
executor runs it with the Python of its environment, in the sandbox, without network and secrets. Forbidden here: model
frameworks, except in the programs, which import nothing of Klever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Converter", "MemoryNeed"]


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The most memory that a program needs: `base_bytes`, and `per_byte` for each byte of the model's files."""

    base_bytes: int = 0
    per_byte: float = 0.0

    def of(self, model_bytes: int) -> int:
        """Return the bytes that the program needs for a model of `model_bytes`."""
        return self.base_bytes + round(self.per_byte * model_bytes)

    def together(self, other: MemoryNeed) -> MemoryNeed:
        """Return what a program needs that does the work of both, one after the other."""
        return MemoryNeed(max(self.base_bytes, other.base_bytes), max(self.per_byte, other.per_byte))


class Converter(Protocol):
    """One pair of formats.

    The program's only argument is the path of a JSON object: `model` is the directory of the model's files, `output`
    the directory that the program creates for the converted model's files, `metadata` the model's metadata,
    `options` the converter's options, and `code` whether the model holds code, which may run. It exits with 0 if the
    output is complete. Otherwise its last lines of output, or the file that KLEVER_TERMINATION_LOG names, say why. It
    may write a report of how far the outputs of both models differ to the file `report` (see `klever.tasks.report`).
    """

    @property
    def source(self) -> str:
        """The source format, as in `klever.formats`."""

    @property
    def target(self) -> str:
        """The target format."""

    @property
    def environment(self) -> str:
        """The name of the environment (see `klever.environments`) whose Python runs the program."""

    @property
    def program(self) -> Path:
        """A self-contained Python file, or a directory with a `__main__.py`."""

    @property
    def memory(self) -> MemoryNeed:
        """The memory that the program needs. It gets no more, but at least what every task gets."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The program's options, in addition to the model."""

    def check(self, env: Mapping[str, str]) -> None:
        """Raise `InvalidError` that names an invalid or missing environment variable of the job."""
