"""Opens a model's file: a regular one inside the directory, of a bounded size."""

from __future__ import annotations

import mmap
import os
import stat
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from klever.errors import InvalidError

__all__ = ["all_matches", "any_match", "check_path", "entries", "map_file", "only_match", "size_inside"]


def entries(model: Path) -> list[Path]:
    """Return what stands at the top of a model directory, without hidden files; for a file, that file alone.

    Hidden files do not belong to the model: macOS leaves `._model.onnx` beside what it packs.
    """
    found = model.iterdir() if model.is_dir() else [model]
    return [path for path in found if not path.name.startswith(".")]


def only_match(model: Path, pattern: str, limit: int) -> Path:
    """Return the file that matches; raises `InvalidError` if there is none, or beyond `limit` bytes.

    `pattern` may have several, with `|` between. `model` is a model directory, or one of its files, which is then the
    only one.
    """
    path = any_match(model, pattern, limit)
    if path is None:
        raise InvalidError(f"{pattern.replace('|', ' or ')} is missing in {model}", reason="LAYOUT")
    return path


def any_match(model: Path, pattern: str, limit: int) -> Path | None:
    """Return the file that matches as `only_match` does; None if there is none."""
    return next(iter(all_matches(model, pattern, limit)), None)


def all_matches(model: Path, pattern: str, limit: int) -> list[Path]:
    """Return the files that match, by name; raises `InvalidError` if one has more than `limit` bytes."""
    found = sorted(path for path in entries(model) if any(fnmatchcase(path.name, p) for p in pattern.split("|")))
    for path in found:
        size = _size(path, path.name)
        if size > limit:
            raise InvalidError(f"{path.name} has {size} bytes, and at most {limit} are read")
    return found


def map_file(path: Path) -> memoryview:
    """Return a file's content, which takes no memory until it is read."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return memoryview(b"")  # cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def check_path(location: str, what: str) -> None:
    """Raise `InvalidError` unless a location that a model names is a relative path of plain names.

    A framework would follow anything else out of the model directory.
    """
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or ".." in parts or "\\" in location or "\0" in location:
        raise InvalidError(
            f"{what} is in {location[:80]!r}, outside the model directory: must be a relative path inside it",
            reason="UNSAFE_PATH",
        )


def size_inside(model_dir: Path, location: str, what: str) -> int:
    """Return the size of a file that `check_path` passed. Raises `InvalidError` unless it is a regular one, no link."""
    path = model_dir
    for name in PurePosixPath(location).parts[:-1]:
        path /= name
        if path.is_symlink():
            raise InvalidError(f"{what} is in {location[:80]!r}: {name} must not be a link", reason="UNSAFE_PATH")
    return _size(path / PurePosixPath(location).name, f"{what} is in {location[:80]!r}, which")


def _size(path: Path, what: str) -> int:
    """Return a regular file's size. Nothing is opened: a FIFO would wait for a writer."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError) as error:
        raise InvalidError(f"{what} is missing") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidError(f"{what} must be a regular file", reason="UNSAFE_PATH")
    return found.st_size
