"""The access of users' own commands to this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Commands"]


@dataclass(frozen=True, slots=True)
class Commands:
    """`path` is the PATH for commands. All commands see `directories`, read-only.

    With `network` they may make connections; without it they may only listen.
    """

    path: str
    directories: tuple[Path, ...] = ()
    network: bool = False

    def shown(self, program: str) -> tuple[Path, ...]:
        """Return the paths that a sandbox must show to run `program`: its file, or its Python installation."""
        found = shutil.which(program, path=self.path)
        if found is None:
            return self.directories
        return (*self.directories, *_installations(Path(found)))


def _installations(program: Path) -> Iterator[Path]:
    """Yield the program, its virtual environment and the environment's Python; no other directories."""
    yield program
    for file in (program, program.resolve()):
        prefix = file.parent.parent
        if file.parent.name == "bin" and (prefix / "pyvenv.cfg").is_file():
            yield from (prefix, *_home(prefix / "pyvenv.cfg"))
        elif file.parent.name == "bin" and file.name.startswith("python") and any(prefix.glob("lib/python3*/os.py")):
            yield prefix


def _home(configuration: Path) -> Iterator[Path]:
    """Yield the Python that created a virtual environment (PEP 405, `home`)."""
    for line in configuration.read_text().splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home" and Path(value.strip()).name == "bin":
            yield Path(value.strip()).parent
