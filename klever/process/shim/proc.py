"""Reads processes from /proc (proc(5))."""

from __future__ import annotations

import os
import signal

__all__ = [
    "children",
    "cpu_ticks",
    "descendants",
    "field",
    "find_payload",
    "memory",
    "signal_descendant",
    "start_ticks",
    "threads",
]


def start_ticks(pid: int) -> int | None:
    """Return the start time of a live process in clock ticks since boot (stat, field 22), None if it has ended.

    A zombie has ended. The kernel can reuse a number, but not with the same start time.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def children(pid: int) -> list[int]:
    """Return the children of all threads of a process (task/TID/children)."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # ended meanwhile
    return found


def descendants(root: int) -> list[int]:
    pids = children(root)
    for pid in pids:
        pids += children(pid)
    return pids


def threads(pids: list[int]) -> int:
    """Return the number of the processes' threads: each is a directory in task."""
    count = 0
    for pid in pids:
        try:
            count += os.stat(f"/proc/{pid}/task").st_nlink - 2
        except (FileNotFoundError, ProcessLookupError):
            continue
    return count


def cpu_ticks(pids: list[int]) -> int:
    """Return the clock ticks of CPU time of processes and of their ended children (stat, fields 14 to 17)."""
    ticks = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                ticks += sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return ticks


def memory(pids: list[int], limit: int) -> int:
    """Return the bytes of memory that processes hold.

    Resident sizes count a shared page once per process. If their sum is above `limit`, proportional sizes are read,
    which cost more.
    """
    resident = sum(field(f"/proc/{pid}/status", b"VmRSS:") for pid in pids)
    return resident if resident <= limit else sum(field(f"/proc/{pid}/smaps_rollup", b"Pss:") for pid in pids)


def field(path: str, name: bytes) -> int:
    """Return the bytes of a field in kB of a file in /proc; 0 if the process has ended."""
    try:
        with open(path, "rb") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith(name)), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def find_payload(child: int, depth: int) -> int:
    """Return the process `depth` generations below a child, or the child while its sandbox starts or ends."""
    pid = child
    for _ in range(depth):
        below = children(pid)
        if not below:
            return child
        pid = below[0]
    return pid


def signal_descendant(root: int, pid: int, number: int) -> None:
    """Send a signal, unless the process has ended and another one has its number."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in descendants(root):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass  # ended meanwhile
    finally:
        os.close(handle)
