"""Environments: pinned virtual environments for what needs a framework.

The control plane imports no model framework; what does need one runs in a process of its own, on the interpreter of
an environment. An environment is a row of `klever.environments.table` and a lock file beside it, with a hash for each
package. It is made on first use with the standard library's venv and pip alone.
"""

from __future__ import annotations

from klever.environments.manager import EnvironmentManager, EnvironmentStatus
from klever.environments.table import ENVIRONMENTS, Environment

__all__ = ["ENVIRONMENTS", "Environment", "EnvironmentManager", "EnvironmentStatus"]
