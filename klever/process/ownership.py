"""Gives directories to the user of a sandboxed process, with what an earlier process left in them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from klever.errors import InvalidError

__all__ = ["give"]

_MOST_PATH: Final = 2_048
"""Bytes of a path below the directory. The kernel accepts 4,096 for a whole path."""


def give(directory: Path, user: int) -> None:
    """Create a directory if it is missing, and make a user the owner of it and its content.

    Raises `OSError`, and `InvalidError` for directories that are nested too deep.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)  # root without capabilities, in a sandbox, must enter it; the directory above is closed
    top = os.fsencode(directory)
    _own(top, user)
    waiting = [top]
    while waiting:  # a payload made these directories: recursion would end at their depth
        path = waiting.pop()
        if len(path) - len(top) > _MOST_PATH:
            raise InvalidError(
                f"the directories in {directory.name} are nested too deep: a path has more than {_MOST_PATH} bytes",
                reason="LIMIT_EXCEEDED",
            )
        with suppress(PermissionError), os.scandir(path) as entries:  # a payload closed its directory to its own user
            for entry in entries:
                _own(entry.path, user)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _own(path: bytes, user: int) -> None:
    if os.lstat(path).st_uid != user:
        os.chown(path, user, user, follow_symlinks=False)
