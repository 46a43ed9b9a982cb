"""What this machine must have, said in one line where it has not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from hack.kubernetes import cgroups

__all__ = ["MissingError", "require", "require_machine", "require_visible"]


class MissingError(Exception):
    """Something that must be there first; the message says what."""


def require(**programs: str) -> None:
    """Raise `MissingError` with the advice given for the first program that is not on PATH."""
    for program, advice in programs.items():
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not on PATH: {advice}")


def require_machine() -> None:
    """Raise `MissingError` where no machine for pods can be made on this one."""
    if os.geteuid() != 0:
        raise MissingError("not root: pods take namespaces, links and cgroups, which root makes")
    require(ip="install iproute2", unshare="install util-linux", nsenter="install util-linux", mount="install mount")
    if not any(cgroups.hierarchies()):
        raise MissingError("no cgroups at /sys/fs/cgroup that root may write to: mount them")
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        raise MissingError(f"this root may make no namespaces: {tried.stderr.strip()}")


def require_visible(directory: Path, hidden: tuple[str, ...]) -> None:
    """Raise `MissingError` for a directory below one that the machine for pods replaces with its own."""
    for path in hidden:
        if directory.resolve().is_relative_to(Path(path).resolve()):
            raise MissingError(f"{directory} lies in {path}, of which pods have their own: choose another directory")
