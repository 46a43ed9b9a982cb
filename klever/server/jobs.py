"""The custom RPCs of JobService."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from klever.errors import FailedPreconditionError, NotFoundError
from klever.executors import Executor
from klever.server.objects import Objects
from klever.server.requests import read_tail
from klever.v1alpha1 import common_pb2, job_service_pb2
from klever.v1alpha1.modeljob_pb2 import ModelJob

__all__ = ["JobHandlers"]

_ENDED = ("Succeeded", "Failed")


class JobHandlers:
    def __init__(self, jobs: Objects[ModelJob], executor: Executor) -> None:
        self._jobs = jobs
        self._executor = executor

    async def cancel_model_job(self, request: job_service_pb2.CancelModelJobRequest) -> ModelJob:
        job = await self._jobs.get(request.namespace, request.name)
        if job.status.phase in _ENDED:
            raise FailedPreconditionError(
                f"modeljob {request.name} has already ended: its phase is {job.status.phase}", reason="ALREADY_ENDED"
            )
        metadata = {"uid": request.uid or job.metadata.uid}
        if request.resource_version:
            metadata["resourceVersion"] = request.resource_version
        patch = {"metadata": metadata, "spec": {"cancel": True}}
        key = self._jobs.key(request.namespace, request.name)
        return await self._jobs.patch(key, patch, dry_run=request.validate_only)

    async def stream_logs(
        self, request: job_service_pb2.JobServiceStreamLogsRequest
    ) -> AsyncGenerator[common_pb2.LogLine, None]:
        job = await self._jobs.get(request.namespace, request.name)
        tail = read_tail(request)
        try:
            async for line in self._executor.logs(job.metadata.uid, tail=tail, follow=request.follow):
                yield common_pb2.LogLine(text=line)
        except NotFoundError as error:
            raise FailedPreconditionError(
                f"modeljob {request.name} has no log yet: its phase is {job.status.phase or 'Pending'}", reason="NO_LOG"
            ) from error
