"""Recognizes a model's format by the names of its files, and their first bytes if the names are not enough."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol, TypeVar

from klever.errors import InvalidError
from klever.formats.files import entries

__all__ = ["Layout", "faults", "fits", "recognise", "top_names"]

_HEAD: Final = 512
_SHOWN: Final = 10


class Layout(Protocol):
    """The layout of a format's model directory, as in the row of the format."""

    @property
    def name(self) -> str: ...
    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def several(self) -> bool: ...
    @property
    def alone(self) -> bool: ...
    @property
    def leads(self) -> bool: ...
    @property
    def markers(self) -> Mapping[str, bytes]: ...


Row = TypeVar("Row", bound=Layout)


def top_names(model: Path) -> list[str]:
    """Return the names at the top of a model directory, or the name of a file. Raises `InvalidError` otherwise."""
    if not model.is_dir() and not model.is_file():
        raise InvalidError(f"{model} must be a directory: put the model's files into model/")
    return [path.name for path in entries(model)]


def faults(row: Layout, names: list[str]) -> list[str]:
    """Return why a directory with these names is not a model of a format."""
    found, matched = [], set()
    for pattern in row.files:
        fitting = [name for name in names if _fits(name, pattern)]
        matched.update(fitting)
        shown = _shown(pattern)
        if not fitting:
            found.append(f"{shown} is missing")
        elif len(fitting) > 1 and not row.several:
            found.append(f"{shown} must be one file, not {', '.join(sorted(fitting))}")
    extra = sorted(set(names) - matched)
    if row.alone and extra:
        found.append(f"unexpected files: {', '.join(extra)}")
    return found


def fits(row: Layout, model: Path) -> bool:
    """Return whether the names of the files, and their first bytes, are those of a format."""
    return not faults(row, top_names(model)) and not _unmarked(row, entries(model))


def recognise(rows: Iterable[Row], model: Path) -> Row:
    """Return the format of a model directory or file. Raises `InvalidError` if none or several fit."""
    known = [row for row in rows if row.files]
    names = top_names(model)
    fitting = [row for row in known if fits(row, model)]
    leading = [row for row in fitting if row.leads]
    marked = [row for row in fitting if _is_marked(row, names)]
    for preferred in (leading, marked, fitting):
        if len(preferred) == 1:
            return preferred[0]
    found = ", ".join(sorted(names)[:_SHOWN]) or "nothing"
    if fitting:
        what = f"fits {' and '.join(row.name for row in fitting)}"
        how = "name the format in ormbfile.yaml (format: …)"
    else:
        what = "fits no format"
        needs = "; ".join(f"{row.name} needs {' and '.join(map(_shown, row.files))}" for row in known)
        how = f"name the format in ormbfile.yaml (format: …), or the files as one of these: {needs}"
    raise InvalidError(f"{model} {what} (it contains {found}): {how}", reason="FORMAT_UNKNOWN")


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatchcase(name, alternative) for alternative in pattern.split("|"))


def _shown(pattern: str) -> str:
    return pattern.replace("|", " or ")


def _is_marked(row: Layout, names: list[str]) -> bool:
    """Return whether the format fits because of a file's first bytes."""
    return any(fnmatchcase(name, pattern) for pattern in row.markers for name in names)


def _unmarked(row: Layout, paths: list[Path]) -> bool:
    """Return whether a file's first bytes contradict the format."""
    return any(
        fnmatchcase(path.name, pattern) and not re.search(marker, _head(path), re.DOTALL)
        for pattern, marker in row.markers.items()
        for path in paths
    )


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file; nothing for others, because opening them could block."""
    if path.is_symlink() or not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD)
