"""Processes that outlive the control plane. Each runs under its own shim and is found again by its record.

    ROOT/ID/state.json …    one directory per process, kept by its shim (`klever.process.shim` lists the files)

A control plane that restarts lists the records and so adopts the running processes. This package does not know the
purpose of a process: its owner puts that into labels.
"""

from __future__ import annotations

from klever.process.manager import ProcessManager
from klever.process.record import Phase, ProcessSpec, ProcessState, Reason
from klever.process.sandbox import Confinement, Level, Network, Sandbox

__all__ = [
    "Confinement",
    "Level",
    "Network",
    "Phase",
    "ProcessManager",
    "ProcessSpec",
    "ProcessState",
    "Reason",
    "Sandbox",
]
