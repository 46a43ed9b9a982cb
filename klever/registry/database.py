"""One SQLite file: reads run on the caller's thread, durable writes on a separate thread.

Writes that arrive while the writer is busy form one transaction, acknowledged after its commit (WAL, synchronous=FULL):
many callers share one flush to the disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from klever.disk import make_private
from klever.errors import ExhaustedError, FailedPreconditionError, IntegrityError, KleverError, UnavailableError

__all__ = ["Database"]

T = TypeVar("T")

_MAX_WAITING: Final = 10_000


class Database:
    """The database at `path`, created if it is missing. The constructor blocks.

    `schemas` are the scripts that migrate each version of the schema to the next, beginning with an empty file. Raises
    `FailedPreconditionError` for a newer version, `IntegrityError` for a damaged file, `ExhaustedError` for a full disk
    or `UnavailableError` for a failing one.
    """

    def __init__(self, path: Path, schemas: Sequence[str]) -> None:
        self._path = path
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_MAX_WAITING)
        try:
            self._writer = _connect(path)
            self._prepare(schemas)
            self._reader = _connect(path)
        except apsw.Error as error:
            raise _error(path, error) from error
        self._thread = threading.Thread(target=self._run, name="registry-database", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the pending writes and close the file."""
        self._jobs.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def read(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query on committed data. For few rows, and from one thread only."""
        try:
            return list(self._reader.execute(sql, arguments))
        except apsw.Error as error:
            raise _error(self._path, error) from error

    async def write(self, operation: Callable[[apsw.Connection], T]) -> T:
        """Run `operation` in a transaction. Return its result when that is durable.

        An exception of `operation` undoes only its own changes. Raises `ExhaustedError` if the disk or the queue is
        full.
        """
        job = _Job(operation)
        try:
            self._jobs.put_nowait(job)
        except queue.Full as error:
            raise ExhaustedError(
                "too many registry writes are waiting: try again later", reason="TOOMANYREQUESTS"
            ) from error
        result: T = await asyncio.wrap_future(job.future)
        return result

    def _prepare(self, schemas: Sequence[str]) -> None:
        found = self._writer.pragma("user_version")
        if found > len(schemas):
            raise FailedPreconditionError(
                f"{self._path} has schema version {found}; this Klever supports {len(schemas)}: use a newer Klever"
            )
        if found < len(schemas):
            with self._writer:
                for schema in schemas[found:]:
                    self._writer.execute(schema)
                self._writer.pragma("user_version", len(schemas))

    def _run(self) -> None:
        running = True
        while running:
            batch = [self._jobs.get()]
            while not self._jobs.empty():
                batch.append(self._jobs.get())
            running = None not in batch
            self._commit([job for job in batch if job is not None and job.future.set_running_or_notify_cancel()])

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            with self._writer:
                for job in jobs:
                    job.run(self._writer)
        except apsw.Error as error:
            self._recover()
            for job in jobs:
                job.future.set_exception(_error(self._path, error))
        else:
            for job in jobs:
                job.acknowledge()

    def _recover(self) -> None:
        """Roll back a failed transaction. On a full disk, free the log's space so that a delete can succeed."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error:
            return  # the disk has no space for that either: the next write fails with the error


class _Job:
    """One operation and the future of its caller."""

    def __init__(self, operation: Callable[[apsw.Connection], Any]) -> None:
        self._operation = operation
        self._result: Any = None
        self._error: Exception | None = None
        self.future: Future[Any] = Future()

    def run(self, connection: apsw.Connection) -> None:
        """Run in a savepoint. Keep the result or the error, but raise errors of the database itself."""
        try:
            with connection:
                self._result = self._operation(connection)
        except apsw.Error:
            raise
        except Exception as error:  # noqa: BLE001  # it belongs to the caller, not to the writer's thread
            self._error = error

    def acknowledge(self) -> None:
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    make_private(path)
    connection.set_busy_timeout(5000)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    return connection


def _error(path: Path, error: apsw.Error) -> KleverError:
    # SQLite reports a full disk under another code when the index of its log cannot grow.
    if isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return ExhaustedError(f"{path}: the disk is full", reason="DISK_FULL")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return IntegrityError(f"{path} is damaged: {error}")
    return UnavailableError(f"{path}: {error}", reason="DISK_ERROR")
