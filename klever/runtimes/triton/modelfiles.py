"""The files of a model that a server opens, and their names for the server.

A server sees only these files, so that a backend, or its interpreter, cannot load any other file of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from klever.errors import InvalidError

__all__ = ["ModelFiles"]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one format.

    `names` maps the suffix (or whole name) of each file that the server opens to its name for the server. `|` separates
    alternatives, of which the model has one. With `directory`, the server gets the whole model directory under that
    name. If there are also `names`, it is given the file to open in it, because that file refers to others.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""

    def find(self, files: tuple[str, ...]) -> dict[str, str]:
        """Return the model's file for each name.

        Raises `InvalidError` if a file that the server opens is missing, or if there are several candidates for it.
        """
        found: dict[str, str] = {}
        for kind, name in self.names.items():
            candidates = [file for file in files if self._kind(file) == kind]
            if not candidates:
                raise InvalidError(f"the model has no file for Triton's {name}: {kind.replace('|', ' or ')} is missing")
            if len(candidates) > 1:
                raise InvalidError(f"the model has several files for Triton's {name}: {', '.join(candidates)}")
            found[name] = candidates[0]
        return found

    def links(self, files: tuple[str, ...]) -> dict[str, str]:
        """Return links from the server's names to paths below the model directory. Raises the errors of `find`."""
        found = self.find(files)
        return {self.directory: ""} if self.directory else found

    def main(self, files: tuple[str, ...]) -> str:
        """Return the path that the server opens, if it differs from its default. Raises the errors of `find`."""
        found = self.find(files)
        return f"{self.directory}/{next(iter(found.values()))}" if self.directory and found else ""

    def _kind(self, file: str) -> str:
        """Return the key of `names` for a file at the top of the model, by name, then by suffix; empty without one."""
        path = PurePosixPath(file)
        if path.name.startswith(".") or len(path.parts) > 1:
            return ""
        kinds = {part: kind for kind in self.names for part in kind.split("|")}
        return kinds.get(path.name) or kinds.get(path.suffix, "")
