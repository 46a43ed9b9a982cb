"""What users' own commands may use of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Commands"]


@dataclass(frozen=True, slots=True)
class Commands:
    """`path` is the PATH on which commands are found. All commands see `directories`, read-only.

    With `network` they may make connections; without it they only listen.
    """

    path: str
    directories: tuple[Path, ...] = ()
    network: bool = False

    def shown(self, program: str) -> tuple[Path, ...]:
        """Return what a sandbox shows so that `program` runs: its file, or the Python installation that holds it."""
        found = shutil.which(program, path=self.path)
        if found is None:
            return self.directories
        return (*self.directories, *_installations(Path(found)))


def _installations(program: Path) -> Iterator[Path]:
    """Yield the program, its virtual environment and that one's Python; never a directory of another kind."""
    yield program
    for file in (program, program.resolve()):
        prefix = file.parent.parent
        if file.parent.name == "bin" and (prefix / "pyvenv.cfg").is_file():
            yield from (prefix, *_home(prefix / "pyvenv.cfg"))
        elif file.parent.name == "bin" and file.name.startswith("python") and any(prefix.glob("lib/python3*/os.py")):
            yield prefix


def _home(configuration: Path) -> Iterator[Path]:
    """Yield the Python that a virtual environment was made with (PEP 405, `home`)."""
    for line in configuration.read_text().splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home" and Path(value.strip()).name == "bin":
            yield Path(value.strip()).parent
