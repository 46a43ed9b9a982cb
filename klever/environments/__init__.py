"""Environments: pinned virtual environments for code that needs a framework.

The control plane imports no model framework. Code that needs one runs in a separate process with the interpreter of an
environment. An environment is a row of `klever.environments.table` and a lock file with a hash for each package. It is
created at its first use, with only the standard library's venv and pip.
"""

from __future__ import annotations

from klever.environments.archive import export_environments, import_environments
from klever.environments.manager import EnvironmentManager, EnvironmentStatus
from klever.environments.table import ENVIRONMENTS, Environment

__all__ = [
    "ENVIRONMENTS",
    "Environment",
    "EnvironmentManager",
    "EnvironmentStatus",
    "export_environments",
    "import_environments",
]
