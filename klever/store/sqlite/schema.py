"""The database file: its tables and their versions, and how it is opened.

`id` is the revision that created the object, like etcd's create_revision: new rows are appended at the right edge of
the tree, one page per commit. The engine, which owns the state, keeps names unique: an index would cost a second page
per commit.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apsw

from klever.disk import make_private
from klever.errors import ExhaustedError, FailedPreconditionError, IntegrityError, KleverError, UnavailableError

__all__ = ["Row", "check_not_lost", "connect", "failure", "lock", "prepare", "revision", "rows"]

log = logging.getLogger(__name__)

APPLICATION_ID = 0x4B4C5652
"""`KLVR` in the file's header."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,        -- plural.group
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        revision INTEGER NOT NULL, -- of the last write
        data BLOB NOT NULL,        -- the object as JSON
        applied BLOB NOT NULL      -- the metadata that the last apply named, as JSON; empty without an apply
    );
    CREATE TABLE head (revision INTEGER NOT NULL);  -- of the last deletion, which no row records
    INSERT INTO head VALUES (0);
    """,
)
"""Step n migrates from schema version n to n + 1. The version is the file's `user_version`."""

SYNCHRONOUS = "FULL"
"""NORMAL would lose acknowledged writes at a power cut."""

BUSY_MS = 2_000

SMALLEST = 512
"""The size of the smallest database in bytes. SQLite takes any smaller file for a new one."""


class Row(NamedTuple):
    """One stored object: `kind` is the resource name, `data` and `applied` are JSON."""

    id: int
    kind: str
    namespace: str
    name: str
    revision: int
    data: bytes
    applied: bytes


def check_not_lost(path: Path) -> None:
    """Raise `IntegrityError` if `path` had a store that is gone: a new store must not replace it silently."""
    if path.exists():
        if path.stat().st_size < SMALLEST:
            raise IntegrityError(
                f"{path} is empty: restore a backup, or remove the file to start without objects", reason="STORE_LOST"
            )
        return
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        raise IntegrityError(
            f"{path} is missing, but {journal} exists: restore a backup, or remove {journal} to start without objects",
            reason="STORE_LOST",
        )


def connect(path: Path) -> apsw.Connection:
    """Open a database file with a durable write-ahead log. Create it if it is missing."""
    connection = apsw.Connection(str(path))
    make_private(path)
    connection.set_busy_timeout(BUSY_MS)
    for pragma in ("journal_mode = WAL", f"synchronous = {SYNCHRONOUS}", "wal_autocheckpoint = 0"):
        connection.pragma(*pragma.split(" = "))
    return connection


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Migrate a database to the current schema version.

    Raises `FailedPreconditionError` if it is newer than this Klever, `IntegrityError` if another program wrote it.
    """
    version = int(connection.pragma("user_version"))
    if version > len(MIGRATIONS):
        raise FailedPreconditionError(
            f"{path} has schema version {version}; this Klever supports up to {len(MIGRATIONS)}: use a newer Klever",
            reason="SCHEMA_TOO_NEW",
        )
    if int(connection.pragma("application_id")) != APPLICATION_ID and (version or _tables(connection)):
        raise IntegrityError(f"{path} is not a Klever store: another program wrote it", reason="NOT_A_STORE")
    for number in range(version, len(MIGRATIONS)):
        log.info("%s: migrating schema version %d to %d", path, number, number + 1)
        with connection:
            connection.execute(MIGRATIONS[number])
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", number + 1)


def rows(connection: apsw.Connection) -> Iterator[Row]:
    """Yield every stored object."""
    query = "SELECT id, kind, namespace, name, revision, data, applied FROM objects"
    return map(Row._make, connection.execute(query))


def revision(connection: apsw.Connection) -> int:
    """Return the last assigned revision. It starts at 1, because 0 means "no version" to a watch."""
    query = "SELECT max(1, (SELECT revision FROM head), (SELECT coalesce(max(revision), 1) FROM objects))"
    return int(connection.execute(query).get)


def lock(path: Path) -> int:
    """Lock the database for this process. Return the lock file's descriptor; closing it releases the lock.

    Raises `FailedPreconditionError` if another process holds the lock.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise FailedPreconditionError(
            f"{path} is in use by another process (pid {holder})", reason="STORE_LOCKED"
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def failure(error: apsw.Error | OSError, path: Path) -> KleverError:
    """Return the Klever error for an error of SQLite."""
    if _no_space(error):
        return ExhaustedError(f"the disk is full: {path} cannot grow", reason="DISK_FULL")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return IntegrityError(
            f"{path} is damaged or not a database ({error}): restore a backup", reason="STORE_DAMAGED"
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return UnavailableError(f"{path} is locked by another program")
    return UnavailableError(f"{path}: {error}")


def _no_space(error: apsw.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE


def _tables(connection: apsw.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").get)
