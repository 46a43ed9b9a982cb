"""The processes of one cluster: found again by their records, whoever started them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["Processes", "inherited"]

_SECONDS = 90.0


class Processes:
    """ROOT/NAME.pid holds the pid of each and when it started; ROOT/NAME.log what it says."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Every process that has a record, the last one recorded first."""
        records = sorted(self.root.glob("*.pid"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.stem for path in records]

    def launch(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start a process that outlives this one, and record its pid, so that any later process can end it."""
        words = [str(word) for word in command]
        with self.log(name).open("ab") as log:
            files = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ]
            pid = os.posix_spawnp(words[0], words, environment, file_actions=files, setsid=True)
        self.record(name, pid)

    def record(self, name: str, pid: int) -> None:
        self._record(name).write_text(f"{pid} {_start_time(pid)}")

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """The pid of a process that runs: one that was given to another process since is not it."""
        try:
            pid, started = self._record(name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def kill(self, name: str) -> None:
        """Kill -9, and wait for the end."""
        pid = self.pid(name)
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        self.until(f"the end of {name}", lambda: self.pid(name) is None)

    def signal(self, name: str, number: signal.Signals) -> None:
        pid = self.pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        os.kill(pid, number)

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for a state. Raises `TimeoutError` with where the logs are."""
        deadline = time.monotonic() + _SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not there within {_SECONDS:g} s; logs are in {self.root}")
            time.sleep(0.05)

    def _record(self, name: str) -> Path:
        return self.root / f"{name}.pid"


def inherited() -> dict[str, str]:
    """This process's environment, but for proxies: all addresses of a cluster are this machine's own."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _start_time(pid: int) -> str:
    """When a live process started, in ticks since boot; empty where there is none, or a zombie (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
