"""Makes the files of hostile models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["Build", "also", "beside", "build_model", "sparse"]

Build = bytes | Callable[[Path], "Build | None"]
"""The file's content, or what makes everything in the model directory, or what returns one of them.

Large ones are made when their test runs: each worker of pytest collects all of them.
"""


def build_model(build: Build, path: Path) -> None:
    """Make a model in the directory of `path`, which is the file that content goes to."""
    made: Build | None = build
    while made is not None and not isinstance(made, bytes):
        made = made(path.parent)
    if made is not None:
        path.write_bytes(made)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def beside(name: str, content: bytes, other: str, rest: bytes) -> Callable[[Path], None]:
    """Make two files of a model in two."""

    def make(directory: Path) -> None:
        (directory / name).write_bytes(content)
        (directory / other).write_bytes(rest)

    return make


def also(first: Callable[[Path], None], then: Callable[[Path], object]) -> Callable[[Path], None]:
    """Make one thing, then another."""

    def make(directory: Path) -> None:
        first(directory)
        then(directory)

    return make
