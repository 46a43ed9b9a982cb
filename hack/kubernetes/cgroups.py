"""The cgroups of a cluster's pods: a subtree in each hierarchy that is mounted, of version 1, 2 or both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["hierarchies", "make", "remains", "remove"]

_ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> Iterator[Path]:
    """Where each hierarchy that can be written to is mounted."""
    for path in {path.resolve() for path in (_ROOT, *_ROOT.glob("*")) if not path.is_symlink()}:
        if _is_root(path) and os.access(path, os.W_OK):
            yield path


def make(name: str) -> None:
    """Make a subtree for the kubelet, which wants it to be there."""
    for hierarchy in hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str) -> bool:
    """Remove a subtree; false while the kernel is still busy with processes that have ended there."""
    try:
        for top in remains(name):
            for directory, _, _ in os.walk(top, topdown=False):
                Path(directory).rmdir()
    except OSError:
        return False
    return True


def remains(name: str) -> list[Path]:
    """The subtree in each hierarchy that has it."""
    return [hierarchy / name for hierarchy in hierarchies() if (hierarchy / name).is_dir()]


def _is_root(path: Path) -> bool:
    """Whether a hierarchy is mounted here: its files are there, and it is no group within another's hierarchy."""
    return (path / "cgroup.procs").exists() and not (path.parent / "cgroup.procs").exists()
