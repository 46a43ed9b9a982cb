"""The resident memory of a process (proc(5))."""

from __future__ import annotations

from pathlib import Path

__all__ = ["peak_mib", "reset_peak"]


def reset_peak(pid: int) -> int:
    """Let the peak count from now on, and return it as it starts."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_mib(pid)


def peak_mib(pid: int) -> int:
    """Return the largest resident memory since the start, or since `reset_peak`."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM:"))
