"""Opens a model's file: a regular one inside the directory, of a bounded size."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path, PurePosixPath

from klever.errors import InvalidError

__all__ = ["check_path", "map_file", "only_match", "size_inside"]


def only_match(model_dir: Path, pattern: str, limit: int) -> Path:
    """Return the one file that matches; raises `InvalidError` beyond `limit` bytes."""
    # Hidden files do not belong to the model: macOS leaves `._model.onnx` beside what it packs.
    path = min(path for path in model_dir.glob(pattern) if not path.name.startswith("."))
    size = _size(path, path.name)
    if size > limit:
        raise InvalidError(f"{path.name} has {size} bytes, and at most {limit} are read")
    return path


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
