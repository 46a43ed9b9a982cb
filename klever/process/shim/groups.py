"""The cgroups of a child, created before it starts and removed when it has ended."""

from __future__ import annotations

import os
import time

from .files import write
from .output import Log

TYPE_CHECKING = False  # as in typing, whose import costs too much memory here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Groups"]

_POLL_S = 0.01
_POLLS = 100
"""How many times to try the removal of a group while the kernel is busy with ended processes."""


class Groups:
    """A child's groups by controller.

    A controller whose group cannot be created is left out, and the shim watches its limit instead.
    """

    def __init__(self, groups: Mapping[str, Any], memory_bytes: int | None, log: Log) -> None:
        self._groups = dict(groups)
        self._memory_bytes = memory_bytes or 0
        self._log = log
        self._before = (0, 0)
        self.paths = sorted({group["path"] for group in groups.values()})

    def __contains__(self, controller: str) -> bool:
        return controller in self._groups

    def make(self) -> None:
        """Make the groups, or set the limits of those that an earlier run left."""
        for controller, group in list(self._groups.items()):
            try:
                _make(group)
            except OSError as error:
                del self._groups[controller]
                self._log.write(f"no cgroup for {controller}: {error.strerror}\n".encode())
        self._before = self._events()

    def enter(self) -> None:
        """In the child: move into the groups. Raises `OSError`."""
        for group in self._groups.values():
            write(f"{group['path']}/cgroup.procs", "0")

    def verdict(self) -> tuple[str, str] | None:
        """Return reason and message of the limit that the child has reached since `make`; None if it has not."""
        killed, refused = (now - before for now, before in zip(self._events(), self._before, strict=True))
        if killed:
            return ("OOMKilled", f"used more memory than its limit of {self._memory_bytes >> 20} MiB")
        if refused:
            limit = self._groups["pids"]["files"]["pids.max"]
            return ("TooManyProcesses", f"started more processes and threads than its limit of {limit}")
        return None

    def forbid_forks(self) -> None:
        """Forbid the groups to start processes until `make` is called again."""
        if pids := self._groups.get("pids"):
            try:
                write(f"{pids['path']}/pids.max", "0")
            except OSError:
                pass  # the group was removed

    def remove(self) -> None:
        """Remove the groups. The next start or removal handles a failure."""
        for path in self.paths:
            for _ in range(_POLLS):
                try:
                    os.rmdir(path)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(_POLL_S)

    def _events(self) -> tuple[int, int]:
        """Return how many processes the kernel killed for memory, and how many forks it rejected."""
        memory, pids = self._groups.get("memory"), self._groups.get("pids")
        files = ("memory.events", "memory.oom_control")  # of version 2, of version 1
        killed = max(_counter(f"{memory['path']}/{file}", b"oom_kill") for file in files) if memory else 0
        return killed, _counter(f"{pids['path']}/pids.events", b"max") if pids else 0


def _make(group: dict[str, Any]) -> None:
    """Create a group and set its limits. The kernel must have the first one, and may lack the others."""
    try:
        os.mkdir(group["path"])
    except FileExistsError:
        pass  # left by the last run
    for number, (name, value) in enumerate(group["files"].items()):
        try:
            write(f"{group['path']}/{name}", value)
        except FileNotFoundError:
            if not number:
                raise


def _counter(path: str, name: bytes) -> int:
    """Return a counter in a file of a group; 0 if there is none."""
    try:
        with open(path, "rb") as file:
            return next((int(line.split()[1]) for line in file if line.split()[0] == name), 0)
    except OSError:
        return 0
