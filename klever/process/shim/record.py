"""The record of a process: a file that is replaced atomically, also on a full disk."""

from __future__ import annotations

import json
import os

from .names import MAX_MESSAGE, STATE
from .output import Log
from .proc import start_ticks

TYPE_CHECKING = False  # as in typing, whose import costs too much memory here
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Record"]


class Record:
    """The state of the process for the control plane."""

    def __init__(self, directory: str, log: Log, **fields: Any) -> None:
        """`fields` are the ones that never change."""
        me = os.getpid()
        self._path = f"{directory}/{STATE}"
        self._reserve_path = f"{directory}/state.reserve"
        self._log = log
        self._content: dict[str, Any] = {**fields, "shim_pid": me, "shim_ticks": start_ticks(me)}
        self.update(phase="Starting", pid=None, started_at=None, restarts=0)
        self.update(exited_at=None, exit_code=None, reason="", message="")

    def update(self, **fields: Any) -> None:
        """Change fields. `write` makes the change durable."""
        self._content |= fields

    def write(self) -> None:
        """Replace the record, in the blocks that the last write reserved. Raises `OSError`."""
        content = json.dumps(self._content).encode()
        with open(os.open(self._reserve_path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(content)
            file.truncate()
        os.rename(self._reserve_path, self._path)
        self._reserve(len(content) + 4 * MAX_MESSAGE)

    def write_or_log(self) -> None:
        """Replace the record of a process that was started. A failure must not end the shim, which its child needs."""
        try:
            self.write()
        except OSError as error:
            self._log.write(f"cannot write the record: {error.strerror}\n".encode())

    def _reserve(self, size: int) -> None:
        """Reserve the disk blocks of the next record. If that fails, the next write needs free disk space."""
        try:
            handle = os.open(self._reserve_path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
        except OSError:
            pass
