"""Writes files atomically and durably, and turns errors of the disk into Klever's errors."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from klever.errors import ExhaustedError, UnavailableError

__all__ = ["disk_errors", "fsync", "make_private", "replace_file", "write_private"]


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the disk into `ExhaustedError` if it is full, otherwise into `UnavailableError`."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ExhaustedError(f"{where}: the disk is full", reason="DISK_FULL") from error
        raise UnavailableError(f"{where}: {error.strerror}", reason="DISK_ERROR") from error


def replace_file(path: Path, content: bytes, *, mode: int = 0o644, check: Callable[[], object] | None = None) -> None:
    """Write `content` to `path` atomically, with `mode` whatever the umask.

    `check` runs just before the file appears. If it raises, the file is unchanged. The content is durable on return,
    the name only after `fsync(path.parent)`. Raises `OSError`.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if check:
            check()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read. Creates a missing directory with mode 0700. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, text.encode(), mode=0o600)


def make_private(database: Path) -> None:
    """Let only its owner read a database file, and the files of SQLite beside it. Raises `OSError`.

    SQLite gives the files that it creates later the mode of the database. A file of another user keeps its mode.
    """
    for path in (database, *(database.with_name(f"{database.name}{suffix}") for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError, PermissionError):
            path.chmod(0o600)


def fsync(path: Path) -> None:
    """Make the content of a file, or the names in a directory, durable. Raises `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
