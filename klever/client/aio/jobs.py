"""ModelJobs."""

from __future__ import annotations

from klever.client.aio.connection import AsyncConnection
from klever.client.aio.objects import AsyncObjects
from klever.client.stored import MODEL_JOBS
from klever.v1alpha1.job_service_pb2 import WatchModelJobsResponse
from klever.v1alpha1.modeljob_pb2 import ModelJob

__all__ = ["AsyncJobs"]


class AsyncJobs(AsyncObjects[ModelJob, WatchModelJobsResponse]):
    """The ModelJobs: extractions and conversions."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection, MODEL_JOBS)

    async def cancel(self, name: str, *, namespace: str = "") -> ModelJob:
        """Cancel a job, and return it. Raises `NotFoundError`."""
        job: ModelJob = await self._call("Cancel", name=name, namespace=namespace)
        return job
