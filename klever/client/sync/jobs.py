"""ModelJobs."""

from __future__ import annotations

from klever.client.sync.connection import Connection
from klever.client.sync.objects import Objects
from klever.client.stored import MODEL_JOBS
from klever.v1alpha1.job_service_pb2 import WatchModelJobsResponse
from klever.v1alpha1.modeljob_pb2 import ModelJob

__all__ = ["Jobs"]


class Jobs(Objects[ModelJob, WatchModelJobsResponse]):
    """The ModelJobs: extractions and conversions."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, MODEL_JOBS)

    def cancel(self, name: str, *, namespace: str = "") -> ModelJob:
        """Cancel a job, and return it. Raises `NotFoundError`."""
        job: ModelJob = self._call("Cancel", name=name, namespace=namespace)
        return job
