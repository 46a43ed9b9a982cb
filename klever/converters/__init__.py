"""Converters: from one model format to another, by a program that runs beside the platform and never in it.

A converter is a module of this folder with a row in `klever.converters.table`. It describes; an executor runs its
program in the Python of its environment, inside the sandbox, without network and secrets. Forbidden here: model
frameworks, except in the programs, which import nothing of Klever.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Converter"]


class Converter(Protocol):
    """One pair of formats.

    The program's one argument is the path of a JSON object: `model` is the directory of the model's files, `output` the
    directory that the program makes and writes the converted model's files to, `metadata` the model's metadata,
    `options` what the converter adds, and `code` says whether the model holds code, which may run. It exits with 0 if
    the output is complete; otherwise its last lines of output, or what it writes to the file that
    KLEVER_TERMINATION_LOG names, say why. It may write a report of how far the outputs of both models differ to the
    file `report` (see `klever.tasks.report`).
    """

    @property
    def source(self) -> str:
        """The format that it reads, as in `klever.formats`."""

    @property
    def target(self) -> str:
        """The format that it writes."""

    @property
    def environment(self) -> str:
        """Name of the environment (see `klever.environments`) whose Python runs the program."""

    @property
    def program(self) -> Path:
        """A file of Python source that stands alone, or a directory with a `__main__.py`."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What the program needs to know beside the model."""

    def check(self, env: Mapping[str, str]) -> None:
        """Raise `InvalidError` naming the variable of the job that the program does not take, or that it misses."""
