"""The files of a model, which come from anybody: only regular ones are read, and only up to a size."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from klever.converters.programs.errors import ConversionError

__all__ = ["PROTOBUF_BYTES", "only_match"]

PROTOBUF_BYTES: Final = (2 << 30) - 1
"""The largest message of protobuf."""


def only_match(model: Path, pattern: str, most: int = PROTOBUF_BYTES) -> Path:
    """Return the only file that matches a pattern, whose alternatives are separated by `|`.

    Raises `ConversionError`, also for a file of more than `most` bytes.
    """
    named = (path for alternative in pattern.split("|") for path in model.glob(alternative))
    found = [path for path in named if path.is_file() and not path.is_symlink()]
    if len(found) != 1:
        raise ConversionError(f"the model must have one file {pattern.replace('|', ' or ')}, and has {len(found)}")
    size = found[0].stat().st_size
    if size > most:
        raise ConversionError(f"{found[0].name} has {size} bytes, and at most {most} can be converted")
    return found[0]
