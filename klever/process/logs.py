"""Reads the rotated log of a process, to its end or as it grows."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from klever.process.shim.names import LOG, OLD_LOG

__all__ = ["read_log"]

_POLL_S: Final = 0.1
_CHUNK: Final = 65536
"""How many bytes are read at a time. A longer line is yielded in pieces of at least this size."""


async def read_log(directory: Path, *, tail: int | None, running: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield the last `tail` lines of both parts (None: all), and the lines that follow while `running` returns True.

    A reader that is slower than two rotations misses lines.
    """
    log = _Log(directory)
    try:
        if tail is not None:
            last: deque[str] = deque(maxlen=tail)
            while lines := await asyncio.to_thread(log.read):
                last.extend(lines)
            for line in last:
                yield line
        while True:
            ended = not running()
            while lines := await asyncio.to_thread(log.read):
                for line in lines:
                    yield line
            if ended:
                break
            await asyncio.sleep(_POLL_S)
        if log.partial:
            yield log.partial.decode(errors="replace")
    finally:
        log.close()


class _Log:
    """The parts of a log as one stream."""

    def __init__(self, directory: Path) -> None:
        self._current = directory / LOG
        self._old = directory / OLD_LOG
        self._files: list[BinaryIO] = []
        self._lock = threading.Lock()
        self._closed = False
        self.partial = b""
        """The bytes after the last line break."""

    def read(self) -> list[str]:
        """Return some unread lines; none at the current end."""
        with self._lock:
            return [] if self._closed else self._lines()

    def close(self) -> None:
        """Close the files. A thread that still reads for a caller that has gone then opens no others."""
        with self._lock:
            self._closed = True
            for file in self._files:
                file.close()

    def _lines(self) -> list[str]:
        while chunk := self._chunk():
            *lines, self.partial = (self.partial + chunk).split(b"\n")
            if len(self.partial) > _CHUNK:
                lines.append(self.partial)
                self.partial = b""
            if lines:
                return [line.decode(errors="replace") for line in lines]
        return []

    def _chunk(self) -> bytes:
        while self._files or self._open():
            if chunk := self._files[0].read(_CHUNK):
                return chunk
            if len(self._files) == 1 and not self._rotated():
                return b""
            # A part that was read to its end may have grown before it was rotated.
            chunk = self._files[0].read(_CHUNK)
            if chunk:
                return chunk
            self._files.pop(0).close()
        return b""

    def _open(self) -> bool:
        """Open the existing parts, newest first, so that a rotation loses none. Return whether any is open."""
        for path in (self._current, self._old):
            with suppress(FileNotFoundError):
                file = path.open("rb", buffering=0)
                if self._files and _same(file, self._files[0]):
                    file.close()
                else:
                    self._files.insert(0, file)
        return bool(self._files)

    def _rotated(self) -> bool:
        """Open the part that is newer than the current one. Return whether there is one."""
        with suppress(FileNotFoundError):
            newer = self._current.open("rb", buffering=0)
            if not _same(newer, self._files[0]):
                self._files.append(newer)
                return True
            newer.close()
        return False


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    return os.path.sameopenfile(one.fileno(), other.fileno())
