"""A model that an init container of the job's spec left for the task, instead of the one in the registry.

As in the jobs of Klever's predecessor, such a container replaces the pull: it writes the model, or its export with the
directory `model`, to the volume `model`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from klever.errors import InvalidError

__all__ = ["find_given", "take_given"]

_GIVEN: Final = "given"


def find_given(work: Path) -> Path | None:
    """Return the directory with the model that the job was given; None if there is none."""
    given = work / _GIVEN
    if not given.is_dir() or not any(given.iterdir()):
        return None
    return given / "model" if (given / "model").is_dir() else given


def take_given(work: Path, model: Path) -> None:
    """Replace the model by the one that the job was given, if there is one. Raises `InvalidError` for a link in it."""
    given = find_given(work)
    if given is None:
        return
    if link := next((path for path in given.rglob("*") if path.is_symlink()), None):
        raise InvalidError(f"{link.relative_to(given)}: a model must not contain links")
    shutil.rmtree(model)
    shutil.copytree(given, model)
