"""Processes of this machine, for the benchmarks beside it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

__all__ = ["ROOT", "Row", "cpu", "descendants", "free_port", "kibibytes", "processes", "until_open"]

ROOT = Path(__file__).resolve().parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
KINDS = {"envoy": "Envoy", "tritonserver": "Triton", "triton_python_backend_stub": "stub"}
Row = tuple[str, str, str]


def processes(root: Path) -> dict[str, list[int]]:
    """The pids below a data directory, by what they are."""
    found: dict[str, list[int]] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().split(b"\0")
            said = b" ".join(command) + (directory / "environ").read_bytes()
        except OSError:
            continue
        kind = KINDS.get(Path(os.fsdecode(command[0])).name, "other")
        if str(root).encode() in said:
            found.setdefault(kind, []).append(int(directory.name))
    return found


def descendants(pid: int) -> list[int]:
    """A process and all that it started."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(below for child in children for below in descendants(child))]


def cpu(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def kibibytes(pid: int, what: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition(f"{what}:")[2].split()[0])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def until_open(port: int, seconds: float = 120.0) -> None:
    """Wait until a port of loopback accepts connections."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
