"""The output of a child, and the log that keeps the last part of it."""

from __future__ import annotations

import os
import select

from .names import LOG, MAX_MESSAGE, OLD_LOG

__all__ = ["Log", "Output"]

_CHUNK = 65536


class Log:
    """A current file and an older one, each of at most `limit` bytes. Lines are lost on a full disk."""

    def __init__(self, directory: str, limit: int) -> None:
        self.path, self.old, self.limit = f"{directory}/{LOG}", f"{directory}/{OLD_LOG}", limit
        self.tail = b""
        self.file = -1
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-MAX_MESSAGE // 2 :]
        try:
            if self.file < 0:
                self._open()
            if self.size and self.size + len(chunk) > self.limit:
                os.rename(self.path, self.old)
                self._open()
            self.size += os.write(self.file, chunk)
        except OSError:
            return

    def _open(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = os.fstat(self.file).st_size


class Output:
    """The pipe from a child to the log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.handle = -1

    def open(self) -> int:
        """Create a pipe. Return the end that the child writes to."""
        self.handle, writer = os.pipe2(os.O_CLOEXEC)
        return writer

    def pump(self) -> None:
        """Move one chunk into the log."""
        chunk = os.read(self.handle, min(_CHUNK, self.log.limit))
        if chunk:
            self.log.write(chunk)
        else:
            self.close()

    def drain(self) -> None:
        """Move the rest into the log, and close the pipe."""
        while self.handle >= 0 and select.select([self.handle], [], [], 0)[0]:
            self.pump()
        self.close()

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
