"""Deletes directories in which a payload wrote, whatever their depth and the modes of their files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["remove_tree"]

_TIMEOUT_S: Final = 600.0


def remove_tree(directory: Path) -> None:
    """Delete a directory and its content, if it exists. Follows no links. Raises `OSError`.

    `shutil.rmtree` raises `RecursionError` for a deep tree; rm(1) has no such limit.
    """
    answer = _run("rm", "-rf", "--", str(directory))
    if answer.returncode and os.path.lexists(directory):
        # A payload that runs as the platform's user may have removed its own permissions on directories.
        _run("chmod", "-R", "u+rwX", "--", str(directory))
        answer = _run("rm", "-rf", "--", str(directory))
    if answer.returncode and os.path.lexists(directory):
        raise OSError(f"cannot be removed: {answer.stderr.strip()[:500]}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not end within {_TIMEOUT_S:g} s") from error
