"""JobService."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from google.protobuf.empty_pb2 import Empty

from klever.api.kinds import MODEL_JOB
from klever.controllers.modeljob import CANCEL_ANNOTATION
from klever.errors import FailedPreconditionError, NotFoundError
from klever.executors import Executor
from klever.server.objects import Objects, tail_of
from klever.store import Store
from klever.v1alpha1 import common_pb2, job_service_pb2
from klever.v1alpha1.modeljob_pb2 import ModelJob

__all__ = ["JobHandlers"]

_ENDED = ("Succeeded", "Failed")


class JobHandlers:
    def __init__(self, store: Store, executor: Executor) -> None:
        self._jobs = Objects(store, MODEL_JOB, ModelJob)
        self._executor = executor

    async def create_model_job(self, request: job_service_pb2.CreateModelJobRequest) -> ModelJob:
        return await self._jobs.create(request.model_job, request.namespace)

    async def apply_model_job(self, request: job_service_pb2.ApplyModelJobRequest) -> ModelJob:
        return await self._jobs.apply(request.model_job, request.namespace, request.name)

    async def get_model_job(self, request: job_service_pb2.GetModelJobRequest) -> ModelJob:
        return await self._jobs.get(request.namespace, request.name)

    async def list_model_jobs(
        self, request: job_service_pb2.ListModelJobsRequest
    ) -> job_service_pb2.ListModelJobsResponse:
        items, page = await self._jobs.page(request.namespace, request.options)
        return job_service_pb2.ListModelJobsResponse(
            items=items,
            next_page_token=page.next_token,
            resource_version=page.resource_version,
        )

    async def delete_model_job(self, request: job_service_pb2.DeleteModelJobRequest) -> Empty:
        await self._jobs.delete(request.namespace, request.name, request.resource_version)
        return Empty()

    async def cancel_model_job(self, request: job_service_pb2.CancelModelJobRequest) -> ModelJob:
        job = await self._jobs.get(request.namespace, request.name)
        if job.status.phase in _ENDED:
            raise FailedPreconditionError(
                f"modeljob {request.name} has ended already: {job.status.phase}", reason="ALREADY_ENDED"
            )
        patch = {"metadata": {"annotations": {CANCEL_ANNOTATION: "true"}, "uid": job.metadata.uid}}
        return await self._jobs.patch(self._jobs.key(request.namespace, request.name), patch)

    def watch_model_jobs(self, request: job_service_pb2.WatchModelJobsRequest) -> AsyncGenerator[bytes, None]:
        return self._jobs.watch(request.namespace, request.options, job_service_pb2.WatchModelJobsResponse)

    async def list_events(self, request: common_pb2.ListEventsRequest) -> common_pb2.ListEventsResponse:
        return await self._jobs.events(request)

    async def stream_logs(self, request: common_pb2.StreamLogsRequest) -> AsyncGenerator[common_pb2.LogLine, None]:
        job = await self._jobs.get(request.namespace, request.name)
        tail = tail_of(request)
        try:
            async for line in self._executor.logs(job.metadata.uid, tail=tail, follow=request.follow):
                yield common_pb2.LogLine(text=line)
        except NotFoundError as error:
            raise FailedPreconditionError(
                f"modeljob {request.name} has no log (yet): it is {job.status.phase or 'Pending'}", reason="NO_LOG"
            ) from error
