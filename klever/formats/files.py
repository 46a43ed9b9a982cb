"""Opens a model's file: a regular one inside the directory, of a bounded size."""

from __future__ import annotations

from pathlib import Path

from klever.errors import InvalidError

__all__ = ["read_only_match"]


def read_only_match(model_dir: Path, pattern: str, limit: int) -> tuple[Path, bytes]:
    """Return the one file that matches, with its content; raises `InvalidError` beyond `limit` bytes."""
    # Hidden files are none of the model's: macOS leaves `._model.onnx` beside what it packs.
    path = min(path for path in model_dir.glob(pattern) if not path.name.startswith("."))
    if path.is_symlink() or not path.is_file():
        raise InvalidError(f"{path.name} is no regular file")
    size = path.stat().st_size
    if size > limit:
        raise InvalidError(f"{path.name} has {size} bytes, more than the {limit} that are read")
    return path, path.read_bytes()
