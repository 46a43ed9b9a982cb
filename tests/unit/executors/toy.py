"""An environment with nothing in it but Python."""

from __future__ import annotations

import sys
from pathlib import Path

from klever.environments import Environment, EnvironmentManager
from tests.contract.executor import ENVIRONMENT

__all__ = ["toy_environments"]


def toy_environments(processes: Path) -> EnvironmentManager:
    """Return environments beside the directory of processes: `ENVIRONMENT` alone."""
    lock = processes.with_name("toy.txt")
    lock.write_text("# nothing\n")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    row = Environment(ENVIRONMENT, "Python alone", (python,), lock)
    return EnvironmentManager(processes.with_name("environments"), {ENVIRONMENT: row})
