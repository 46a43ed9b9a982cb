"""The state of a store, owned by one event loop.

Each kind has its committed objects and a head: writes that are not durable yet. Writes are decided against the head;
reads and watches see committed objects only. The loop assigns revisions without gaps. All writes that arrive while the
writer thread is busy form the next transaction (group commit).

If a transaction fails, all uncommitted writes fail with it, because they were decided against a head that was lost.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import NamedTuple

from klever.api.kinds import Kind
from klever.errors import ExhaustedError, KleverError, UnavailableError
from klever.store.sqlite.history import Change, History
from klever.store.sqlite.schema import Row
from klever.store.sqlite.writer import Removal

__all__ = ["Address", "Commit", "Engine", "Observer", "Table"]

Address = tuple[str, str]
"""Namespace and name. A plain tuple, because dataclasses are slow dictionary keys."""

Observer = Callable[[Kind, Change], None]

MAX_PENDING = 10_000
MAX_PENDING_BYTES = 256 << 20


class Commit:
    """A future transaction. Many callers can wait for it, and each of them may be cancelled."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        self._finished = False
        self._error: KleverError | None = None

    async def wait(self) -> None:
        """Return when it is durable. Raises `ExhaustedError` or `UnavailableError` if it fails."""
        if not self._finished:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self._error:
            raise type(self._error)(self._error.message, reason=self._error.reason) from self._error

    def finish(self, error: KleverError | None) -> None:
        self._finished = True
        self._error = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class Pending(NamedTuple):
    """The head of one object: `row` is None if it is deleted."""

    row: Row | None
    revision: int
    commit: Commit


class Table:
    """The objects of one kind."""

    def __init__(self, kind: Kind, rows: Iterable[Row], history: History) -> None:
        self.kind = kind
        self.history = history
        self.head: dict[Address, Pending] = {}
        self.rows = {(row.namespace, row.name): row for row in rows}
        self._addresses = sorted(self.rows)
        self._snapshot: tuple[Row, ...] | None = None
        self._changed = asyncio.Event()

    def current(self, address: Address) -> tuple[Row | None, Commit | None]:
        """Return an object as the next write sees it, and the commit that it waits for, if any."""
        pending = self.head.get(address)
        return (pending.row, pending.commit) if pending else (self.rows.get(address), None)

    def snapshot(self, namespace: str = "") -> tuple[Row, ...]:
        """Return the committed objects ordered by namespace and name."""
        if self._snapshot is None:
            self._snapshot = tuple(map(self.rows.__getitem__, self._addresses))
        if not namespace:
            return self._snapshot
        return self._snapshot[bisect_left(self._addresses, (namespace, "")) : self._end(namespace)]

    def holds_any(self, namespace: str) -> bool:
        """Whether a namespace has any object, committed or not."""
        committed = bisect_left(self._addresses, (namespace, "")) < self._end(namespace)
        return committed or any(address[0] == namespace for address in self.head)

    async def changed(self) -> None:
        """Wait for the next change, or the end of the store."""
        await self._changed.wait()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def commit(self, row: Row | None, change: Change) -> None:
        address = (change.namespace, change.name)
        if row is None:
            del self.rows[address]
            del self._addresses[bisect_left(self._addresses, address)]
        else:
            if address not in self.rows:
                insort(self._addresses, address)
            self.rows[address] = row
        if self.head[address].revision == change.revision:
            del self.head[address]
        self._snapshot = None
        self.history.append(change)

    def _end(self, namespace: str) -> int:
        return bisect_left(self._addresses, (namespace + "\0", ""))


class Engine:
    """All tables and the pending transactions. `submit` hands a batch to the writer."""

    def __init__(
        self,
        tables: dict[Kind, Table],
        revision: int,
        submit: Callable[[list[Row | Removal]], None],
    ) -> None:
        self.tables = tables
        self.revision = revision
        """The last committed revision."""
        self.observers: list[Observer] = []
        """Callbacks for each committed change, in order. They must not raise."""
        self._submit = submit
        self._next = revision + 1
        self._loop = asyncio.get_running_loop()
        self._queued: list[tuple[Table, Row, Change]] = []
        self._queued_bytes = 0
        self._queued_commit = Commit()
        self._flying: list[tuple[Table, Row, Change]] = []
        self._flying_commit: Commit | None = None
        self._kicking = False
        self._closed = False

    @property
    def next_revision(self) -> int:
        """The revision of the next write. The object contains it, so the caller needs it before the write."""
        return self._next

    def write(self, table: Table, row: Row, change: Change) -> Commit:
        """Make a change the head of its object; a deletion passes the last row. The commit makes it durable."""
        if self._closed:
            raise UnavailableError("the store is closed", reason="STORE_CLOSED")
        if len(self._queued) >= MAX_PENDING or self._queued_bytes > MAX_PENDING_BYTES:
            raise ExhaustedError("too many writes are waiting for the disk: try again later", reason="WRITE_QUEUE_FULL")
        if self._flying_commit is None:
            self._kick_soon()
        self._next += 1
        self._queued.append((table, row, change))
        self._queued_bytes += change.size
        table.head[change.namespace, change.name] = Pending(
            None if change.deleted else row, change.revision, self._queued_commit
        )
        return self._queued_commit

    def written(self, error: KleverError | None) -> None:
        """Handle the writer's result for the current batch."""
        batch, commit = self._flying, self._flying_commit
        self._flying, self._flying_commit = [], None
        if error is None:
            self._publish(batch)
        else:
            self._abandon(error)
        if commit is not None:
            commit.finish(error)
        self._kick_soon()  # waiting callers run first, and their next writes still join the batch

    async def close(self) -> None:
        """Reject further writes, finish the pending ones and end the watches."""
        self._closed = True
        for commit in (self._flying_commit, self._queued_commit if self._queued else None):
            if commit is not None:
                await asyncio.gather(commit.wait(), return_exceptions=True)
        for table in self.tables.values():
            table.wake()

    @property
    def closed(self) -> bool:
        return self._closed

    def _kick_soon(self) -> None:
        if not self._kicking:
            self._kicking = True
            self._loop.call_soon(self._kick)

    def _kick(self) -> None:
        self._kicking = False
        if self._flying_commit is not None or not self._queued:
            return
        self._flying, self._flying_commit = self._queued, self._queued_commit
        self._queued, self._queued_commit, self._queued_bytes = [], Commit(), 0
        self._submit([Removal(row.id, change.revision) if change.deleted else row for _, row, change in self._flying])

    def _publish(self, batch: list[tuple[Table, Row, Change]]) -> None:
        for table, row, change in batch:
            table.commit(None if change.deleted else row, change)
            self.revision = change.revision
            for observe in self.observers:
                observe(table.kind, change)
        for table in {id(table): table for table, _, _ in batch}.values():
            table.wake()

    def _abandon(self, error: KleverError) -> None:
        queued = self._queued_commit
        self._queued, self._queued_commit, self._queued_bytes = [], Commit(), 0
        self._next = self.revision + 1
        for table in self.tables.values():
            table.head.clear()
        queued.finish(error)
