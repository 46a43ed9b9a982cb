"""Opens a model's files: only regular files inside the directory, of a bounded size."""

from __future__ import annotations

import mmap
import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from klever.errors import InvalidError

__all__ = ["all_matches", "any_match", "check_path", "entries", "map_file", "only_match", "size_inside"]


def entries(model: Path) -> list[Path]:
    """Return the entries at the top of a model directory, without hidden files; for a file, only that file.

    Hidden files do not belong to the model: macOS adds `._model.onnx` to archives.
    """
    found = model.iterdir() if model.is_dir() else [model]
    return [path for path in found if not path.name.startswith(".")]


def only_match(model: Path, pattern: str, limit: int) -> Path:
    """Return the file that matches. Raises `InvalidError` if there is none, or beyond `limit` bytes.

    `pattern` may have alternatives, separated by `|`. `model` is a model directory or one file.
    """
    path = any_match(model, pattern, limit)
    if path is None:
        raise InvalidError(f"{pattern.replace('|', ' or ')} not found in {model}", reason="LAYOUT")
    return path


def any_match(model: Path, pattern: str, limit: int) -> Path | None:
    """Return the matching file like `only_match`; None if there is none."""
    return next(iter(all_matches(model, pattern, limit)), None)


def all_matches(model: Path, pattern: str, limit: int) -> list[Path]:
    """Return the matching files by name. Raises `InvalidError` if one has more than `limit` bytes."""
    found = sorted(path for path in entries(model) if any(fnmatchcase(path.name, p) for p in pattern.split("|")))
    for path in found:
        size = _size(path, path.name)
        if size > limit:
            raise InvalidError(f"{path.name} has {size} bytes; the limit is {limit}")
    return found


def map_file(path: Path) -> memoryview:
    """Return a file's content, mapped, so that it takes no memory until it is read."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return memoryview(b"")  # an empty file cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def check_path(location: str, what: str) -> None:
    """Raise `InvalidError` unless a location in a model is a relative path of plain names.

    With any other path, a framework could leave the model directory.
    """
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or ".." in parts or "\\" in location or "\0" in location:
        raise InvalidError(
            f"{what} is in {location[:80]!r}, outside the model directory: must be a relative path inside it",
            reason="UNSAFE_PATH",
        )


def size_inside(model_dir: Path, location: str, what: str) -> int:
    """Return the size of a file that passed `check_path`. Raises `InvalidError` unless it is a regular file."""
    path = model_dir
    for name in PurePosixPath(location).parts[:-1]:
        path /= name
        if path.is_symlink():
            raise InvalidError(f"{what} is in {location[:80]!r}: {name} must not be a link", reason="UNSAFE_PATH")
    return _size(path / PurePosixPath(location).name, f"{what} is in {location[:80]!r}, which")


def _size(path: Path, what: str) -> int:
    """Return a regular file's size without opening it, because a FIFO would wait for a writer."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError) as error:
        raise InvalidError(f"{what} is missing") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidError(f"{what} must be a regular file", reason="UNSAFE_PATH")
    return found.st_size
