"""The thread that owns the database connection: one batch, one transaction, one result."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import apsw

from klever.errors import KleverError
from klever.store.sqlite.schema import Row, connect, failure

__all__ = ["Removal", "Writer"]

log = logging.getLogger(__name__)

CHECKPOINT_PAGES = 1_000
LIMIT_PAGES = 4 * CHECKPOINT_PAGES
"""Above this size the writer waits for a checkpoint, because constant writes would keep the log from being reset."""

MAX_ROWS = 1_000
"""Rows per statement: SQLite binds at most 32,766 values."""


class Removal:
    """The row of an object that was deleted at `revision`."""

    __slots__ = ("id", "revision")

    def __init__(self, row: int, revision: int) -> None:
        self.id = row
        self.revision = revision


class Writer:
    """Writes batches in the order of `submit`. After each, its thread calls `done` with the error, if any."""

    def __init__(self, connection: apsw.Connection, path: Path, done: Callable[[KleverError | None], None]) -> None:
        self._connection = connection
        self._path = path
        self._done = done
        self._batches: SimpleQueue[Sequence[Row | Removal] | None] = SimpleQueue()
        self._checkpoints: SimpleQueue[bool] = SimpleQueue()
        self._log_pages = 0
        self._checkpointing = False
        connection.set_wal_hook(self._committed)
        self._threads = (
            threading.Thread(target=self._write, name="store-writer", daemon=True),
            threading.Thread(target=self._checkpoint, name="store-checkpointer", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def submit(self, batch: Sequence[Row | Removal]) -> None:
        self._batches.put(batch)

    def close(self) -> None:
        """Write the submitted batches, then end the threads and close the connection."""
        self._batches.put(None)
        for thread in self._threads:
            thread.join()
        self._connection.close()

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            error = None
            try:
                self._commit(batch)
            except apsw.Error as cause:
                error = failure(cause, self._path)
                self._ask_for_checkpoint()  # it may make room
            self._done(error)
            if self._log_pages > LIMIT_PAGES:
                self._bound_log()
        self._checkpoints.put(False)

    def _commit(self, batch: Sequence[Row | Removal]) -> None:
        """Write a batch durably, or not at all.

        Each call into SQLite releases the interpreter lock and must regain it from the event loop. Calls are therefore
        few: the common case is a single statement, which is its own transaction.
        """
        last = {item.id: item for item in batch}  # the last write of an object wins
        kept = [item for item in last.values() if isinstance(item, Row)]
        removed = [item for item in last.values() if isinstance(item, Removal)]
        if not removed and len(kept) <= MAX_ROWS:
            self._put(kept)
            return
        with self._connection:
            for start in range(0, len(kept), MAX_ROWS):
                self._put(kept[start : start + MAX_ROWS])
            self._connection.executemany("DELETE FROM objects WHERE id = ?", [(item.id,) for item in removed])
            self._connection.execute("UPDATE head SET revision = ?", (batch[-1].revision,))

    def _put(self, kept: list[Row]) -> None:
        if kept:
            values = ",".join(["(?,?,?,?,?,?,?)"] * len(kept))
            self._connection.execute(f"REPLACE INTO objects VALUES {values}", tuple(itertools.chain(*kept)))  # noqa: S608 - placeholders only

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        if pages > CHECKPOINT_PAGES:
            self._ask_for_checkpoint()
        return apsw.SQLITE_OK

    def _ask_for_checkpoint(self) -> None:
        if not self._checkpointing:
            self._checkpointing = True
            self._checkpoints.put(True)

    def _bound_log(self) -> None:
        self._copy_log(self._connection)

    def _checkpoint(self) -> None:
        """Copy the log into the database while the writer continues."""
        while self._checkpoints.get():
            try:
                with closing(connect(self._path)) as connection:
                    self._copy_log(connection)
            except apsw.Error as error:
                log.warning("%s: checkpoint: %s", self._path, error)
            self._checkpointing = False

    def _copy_log(self, connection: apsw.Connection) -> None:
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            log.warning("%s: checkpoint: %s", self._path, error)
