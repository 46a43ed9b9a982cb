"""Online backup: a consistent copy of a store that is in use."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from klever.disk import fsync
from klever.errors import NotFoundError
from klever.store.sqlite.schema import failure

__all__ = ["backup"]

_BUSY_MS = 10_000


def backup(database: Path, target: Path) -> None:
    """Copy a store's file to `target`, durably, readable by this user only (objects can contain passwords).

    An existing target is replaced only when the copy is complete.
    """
    if not database.is_file():
        raise NotFoundError(f"no store found at {database}")
    partial = target.with_name(f".{target.name}.partial")
    try:
        source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
        source.set_busy_timeout(_BUSY_MS)
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy = apsw.Connection(str(partial))
        with copy.backup("main", source, "main") as process:
            process.step()
        copy.close()
        source.close()
        fsync(partial)
        partial.replace(target)
        fsync(target.parent)
    except (apsw.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise failure(error, target) from error
