"""The rows of Kubernetes' own kinds that Klever makes or follows on a cluster."""

from __future__ import annotations

from typing import Final

from klever.api.kinds import Kind

__all__ = ["DEPLOYMENT", "JOB", "POD", "SECRET", "SERVICE"]

DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
POD: Final = Kind("", "v1", "Pod", "pods")
SECRET: Final = Kind("", "v1", "Secret", "secrets", has_status=False)
SERVICE: Final = Kind("", "v1", "Service", "services")
