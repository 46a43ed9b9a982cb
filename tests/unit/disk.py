"""A disk in memory that loses power: it keeps what was synced, and a random part of what was written since.

SQLite databases are on it while it is `attached`; `cut_power` loses it while somebody writes, who acknowledges `+NAME`
for what is made and `-NAME` for what is deleted again, which is every third of a writer's.
"""

# ruff: noqa: N802 - the methods' names are SQLite's

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import apsw

__all__ = ["Disk", "attached", "cut_power", "is_deleted", "lost"]

SECTOR = 512


@dataclass
class File:
    """`content` is what readers see; `synced` what is safe; `pending` what was written since: (offset, bytes)."""

    content: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    holder: object = None

    def write(self, offset: int, data: bytes) -> None:
        _write(self.content, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        """Treated as safe at once: SQLite shortens files only when nothing depends on it."""
        del self.content[size:]
        del self.synced[size:]
        self.pending = [(offset, data[: max(0, size - offset)]) for offset, data in self.pending]

    def sync(self) -> None:
        self.synced[:] = self.content
        self.pending.clear()

    def after_power_loss(self, random: Random) -> File:
        """Return what is found then: each unsynced write was done, not done, or torn between two sectors."""
        content = bytearray(self.synced)
        for offset, data in self.pending:
            kept = random.choice((0, len(data), random.randrange(len(data) + 1) // SECTOR * SECTOR))
            _write(content, offset, data[:kept])
        return File(content, bytearray(content))


class Disk:
    """`on_operation` is called before each write and sync, on the thread that does it."""

    def __init__(self, files: dict[str, File] | None = None) -> None:
        self.files = files or {}
        self.on_operation: Callable[[], None] = lambda: None
        self.lock = threading.RLock()

    def after_power_loss(self, random: Random) -> Disk:
        with self.lock:
            return Disk({name: file.after_power_loss(random) for name, file in self.files.items()})


class OpenFile:
    """A file as SQLite uses it, through one connection (the methods of `apsw.VFSFile`)."""

    def __init__(self, disk: Disk, file: File) -> None:
        self._disk = disk
        self._file = file

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.content[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._disk.lock:
            self._disk.on_operation()
            self._file.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        with self._disk.lock:
            self._file.truncate(size)

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            self._disk.on_operation()
            self._file.sync()

    def xFileSize(self) -> int:
        return len(self._file.content)

    def xLock(self, level: int) -> None:
        with self._disk.lock:
            if self._file.holder not in (None, self):
                raise apsw.BusyError("another connection has it")
            self._file.holder = self

    def xUnlock(self, level: int) -> None:
        with self._disk.lock:
            if level == apsw.SQLITE_LOCK_NONE and self._file.holder is self:
                self._file.holder = None

    def xCheckReservedLock(self) -> bool:
        return self._file.holder is not None

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        self.xUnlock(apsw.SQLITE_LOCK_NONE)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name="forgetful", base="", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        flags[1] = flags[0]
        return OpenFile(self._disk, self._disk.files.setdefault(path, File()))

    def xAccess(self, path: str, flags: int) -> bool:
        return path in self._disk.files

    def xDelete(self, path: str, sync_directory: bool) -> None:
        self._disk.files.pop(path, None)


@contextmanager
def attached(disk: Disk) -> Iterator[None]:
    """Have every new connection use the disk, exclusively: a VFS in Python cannot share SQLite's memory."""

    def exclusive(connection: apsw.Connection) -> None:
        connection.pragma("locking_mode", "exclusive")

    vfs = _Vfs(disk)
    apsw.connection_hooks.append(exclusive)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(exclusive)
        vfs.unregister()


async def cut_power(
    write: Callable[[Callable[[str], None]], Coroutine[Any, Any, None]], losses: int, random: Random
) -> list[tuple[Disk, set[str]]]:
    """What would be found after power losses at random moments, each with what was acknowledged until then.

    `write` writes without end, and calls its argument with each write that is acknowledged.
    """
    disk = Disk()
    found: list[tuple[Disk, set[str]]] = []
    acknowledged: set[str] = set()
    until_next = random.randrange(300, 400)  # so that the database exists

    def operation() -> None:
        nonlocal until_next
        until_next -= 1
        if until_next == 0:
            until_next = random.randrange(1, 300)
            found.append((disk.after_power_loss(random), set(acknowledged)))

    disk.on_operation = operation
    with attached(disk):
        writing = asyncio.create_task(write(acknowledged.add))
        while len(found) < losses and not writing.done():
            await asyncio.wait([writing], timeout=0.01)
        writing.cancel()
        await asyncio.wait([writing])
    assert writing.cancelled(), writing.exception()
    return found[:losses]


def lost(acknowledged: set[str], there: set[str]) -> set[str]:
    """Return the acknowledged writes that are missing in the names that were found.

    For a deleted name only the deletion counts, because an unacknowledged deletion may have been applied.
    """
    kept = {a for a in acknowledged if a.startswith("+") and not is_deleted(a)}
    return kept - {f"+{name}" for name in there} | acknowledged & {f"-{name}" for name in there}


def is_deleted(name: str) -> bool:
    """Whether a writer deletes the name, which ends in its number, after it was made."""
    return int(name.rpartition("-")[2]) % 3 == 0


def _write(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data
