"""A tritonserver that is installed on this machine, as NVIDIA's images and packages lay it out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["InstalledTriton", "find"]


@dataclass(frozen=True, slots=True)
class InstalledTriton:
    """`root` has `bin/tritonserver` and `backends/NAME/`; `backends` are those names."""

    root: Path
    backends: frozenset[str]


def find(root: Path) -> InstalledTriton | None:
    """Look at an installation directory (usually `/opt/tritonserver`); None if no server with backends is there."""
    backends = root / "backends"
    if not (root / "bin" / "tritonserver").is_file() or not backends.is_dir():
        return None
    return InstalledTriton(root, frozenset(entry.name for entry in backends.iterdir() if entry.is_dir()))
