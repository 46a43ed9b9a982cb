"""The functions of the original SDK. Each runs the command `ormb` of this package, and returns how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from ormb.errors import (
    ORMBError,
    ORMBExportError,
    ORMBLoginError,
    ORMBPullError,
    ORMBPushError,
    ORMBRemoveError,
    ORMBSaveError,
)

__all__ = ["export", "login", "pull", "push", "remove", "save"]

StrPath = str | os.PathLike[str]
Ended = subprocess.CompletedProcess[str]

_MAIN = "import sys; from klever.cli.ormb import main; sys.exit(main())"


def login(hostname: str, username: str, password: str, insecure: str | bool = "False") -> Ended:
    """Log in to a registry. `insecure`: accept any certificate; the original did so by default.

    The password is not visible to other users. Raises `ORMBLoginError`.
    """
    flags = ["--insecure"] if str(insecure).lower() == "true" else []
    arguments = ["login", hostname, "--username", username, "--password-stdin", *flags]
    return _run(arguments, ORMBLoginError, f"Login to {hostname} as {username!r}", f"{password}\n")


def save(src: StrPath, ref: str) -> Ended:
    """Save a model directory to the cache as `ref`. Raises `ORMBSaveError`."""
    return _run(["save", src, ref], ORMBSaveError, f"Saving {os.fspath(src)!r} to the cache as {ref!r}")


def push(ref: str) -> Ended:
    """Push a model from the cache to its registry. Raises `ORMBPushError`."""
    return _run(["push", ref], ORMBPushError, f"Pushing {ref!r}")


def pull(ref: str) -> Ended:
    """Pull a model from its registry into the cache. Raises `ORMBPullError`."""
    return _run(["pull", ref], ORMBPullError, f"Pulling {ref!r}")


def export(ref: str, dst: StrPath) -> Ended:
    """Export a model from the cache to `dst`, where it replaces `model/`. Raises `ORMBExportError`."""
    action = f"Exporting {ref!r} to {os.fspath(dst)!r}"
    return _run(["export", ref, "--dst", dst, "--force"], ORMBExportError, action)


def remove(ref: str) -> Ended:
    """Remove a model from the cache. Raises `ORMBRemoveError`."""
    return _run(["remove", ref], ORMBRemoveError, f"Removing {ref!r} from the cache")


def _run(arguments: Sequence[StrPath], error: type[ORMBError], action: str, stdin: str = "") -> Ended:
    """Run a verb. It has the deadlines of the registry's client, and none for all of a large model."""
    command = [sys.executable, "-c", _MAIN, *(os.fspath(argument) for argument in arguments)]
    ended = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise error(action, ended.stderr)
    return ended
