"""A tritonserver installed on this machine, in the layout of NVIDIA's images and packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["InstalledTriton", "find"]


@dataclass(frozen=True, slots=True)
class InstalledTriton:
    """`root` has `bin/tritonserver` and `backends/NAME/`. `backends` are these names; `version` is e.g. `2.51.0`."""

    root: Path
    backends: frozenset[str]
    version: str = ""
    """The version; empty if the installation does not state it."""


def find(root: Path) -> InstalledTriton | None:
    """Return the server in a directory, usually `/opt/tritonserver`; None if there is no server with backends."""
    backends = root / "backends"
    if not (root / "bin" / "tritonserver").is_file() or not backends.is_dir():
        return None
    names = frozenset(entry.name for entry in backends.iterdir() if entry.is_dir())
    return InstalledTriton(root, names, _version(root / "TRITON_VERSION"))


def _version(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
