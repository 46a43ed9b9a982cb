"""The rows of the Kubernetes kinds that this executor uses."""

from __future__ import annotations

from typing import Final

from klever.api.kinds import Kind

__all__ = ["JOB", "POD", "SECRET"]

JOB: Final = Kind("batch", "v1", "Job", "jobs", controller_verbs=("create", "list", "watch", "patch", "delete"))
POD: Final = Kind("", "v1", "Pod", "pods", controller_verbs=("list", "watch", "patch", "delete"))
SECRET: Final = Kind("", "v1", "Secret", "secrets", has_status=False, controller_verbs=("create", "delete"))
