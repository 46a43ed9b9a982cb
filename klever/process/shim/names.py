"""Names and numbers that the shim and the control plane share."""

from __future__ import annotations

__all__ = ["GRACE", "LOG", "MAX_MESSAGE", "OLD_LOG", "OWNER", "STATE", "TASKS_PER_PROCESS", "TERMINATION_LOG"]

STATE = "state.json"
LOG = "log"
OLD_LOG = "log.1"
GRACE = "grace"
TERMINATION_LOG = "KLEVER_TERMINATION_LOG"
"""Environment variable of the child with the file for its termination message."""
OWNER = "KLEVER_PROCESS"
"""Environment variable of the child with the directory. It identifies the descendants of a lost shim."""
MAX_MESSAGE = 4096
"""How many bytes of a termination message are kept, as in Kubernetes."""
TASKS_PER_PROCESS = 8
"""Tasks that the kernel allows per process of a sandbox: the kernel counts threads, a sandbox counts processes."""
