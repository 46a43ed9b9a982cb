"""Recognises a model's format from its files: their names, and how they begin where a name is not enough."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol, TypeVar

from klever.errors import InvalidError
from klever.formats.files import entries

__all__ = ["Layout", "faults", "recognise", "top_names"]

_HEAD: Final = 512
_SHOWN: Final = 10


class Layout(Protocol):
    """What a model directory of a format holds, as the row of the format says it."""

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
    """Return the names at the top of a model directory, or that of a file; raises `InvalidError` for another path."""
    if not model.is_dir() and not model.is_file():
        raise InvalidError(f"{model} is not a directory: the files of a model must be in model/")
    return [path.name for path in entries(model)]


def faults(row: Layout, names: list[str]) -> list[str]:
    """Return what keeps a directory with these names from being a model of a format."""
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
        found.append(f"nothing else may be there, but there is {', '.join(extra)}")
    return found


def recognise(rows: Iterable[Row], model: Path) -> Row:
    """Return the format that fits a model directory, or a file; raises `InvalidError` if none or several do."""
    known = [row for row in rows if row.files]
    names = top_names(model)
    named = [row for row in known if not faults(row, names)]
    fitting = [row for row in named if not _unmarked(row, entries(model))]
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
    raise InvalidError(f"{model} {what} (it holds {found}): {how}", reason="FORMAT_UNKNOWN")


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatchcase(name, alternative) for alternative in pattern.split("|"))


def _shown(pattern: str) -> str:
    return pattern.replace("|", " or ")


def _is_marked(row: Layout, names: list[str]) -> bool:
    """Say whether the beginning of a file decided that the format fits."""
    return any(fnmatchcase(name, pattern) for pattern in row.markers for name in names)


def _unmarked(row: Layout, paths: list[Path]) -> bool:
    """Say whether a file does not begin as the format needs it."""
    return any(
        fnmatchcase(path.name, pattern) and not re.search(marker, _head(path), re.DOTALL)
        for pattern, marker in row.markers.items()
        for path in paths
    )


def _head(path: Path) -> bytes:
    """Return the beginning of a regular file; nothing of another one, which opening may wait for."""
    if path.is_symlink() or not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD)
