"""The API over a real channel: statuses, details, authentication, watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from klever.controllers.pushes import ensure_namespace
from klever.errors import NotFoundError
from klever.server.app import JOBS, make_server
from klever.server.auth import TokenAuthenticator, is_read
from klever.server.binding import Binder, RpcMetrics
from klever.server.jobs import JobHandlers
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import job_service_pb2 as pb
from klever.v1alpha1 import model_service_pb2, serving_service_pb2
from klever.v1alpha1.common_pb2 import ListOptions, StreamLogsRequest, WatchOptions
from klever.v1alpha1.job_service_pb2_grpc import JobServiceStub
from klever.v1alpha1.modeljob_pb2 import ModelJob

TOKEN = [("authorization", "Bearer secret")]


class NoExecutor:
    """Nothing runs: jobs stay as they are."""

    def logs(self, uid: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        raise NotFoundError(f"task {uid} is not known")


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Any]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "default")
    binder = Binder(TokenAuthenticator("secret", guard_reads=False), RpcMetrics(CollectorRegistry()))
    executor: Any = NoExecutor()
    server = await make_server(binder, ((JOBS, JobHandlers(store, executor)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield JobServiceStub(channel)
    await server.stop(None)
    await store.close()


def job(name: str, **spec: Any) -> pb.CreateModelJobRequest:
    request = pb.CreateModelJobRequest()
    request.model_job.metadata.name = name
    request.model_job.spec.model = spec.get("model", "team/m:v1")
    request.model_job.spec.extraction.format = "ONNX"
    return request


async def failure(call: Any) -> tuple[grpc.StatusCode, str, str, list[str]]:
    """Code, message, ErrorInfo's reason, and the fields of the violations."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    reason, fields = "", []
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        if detail.Unpack(bad):
            fields = [v.field for v in bad.field_violations]
    return caught.value.code(), caught.value.details() or "", reason, fields


async def test_create_get_list_delete(jobs: Any) -> None:
    created = await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    assert (created.metadata.namespace, created.metadata.generation) == ("default", 1)
    assert await jobs.GetModelJob(pb.GetModelJobRequest(name="a")) == created
    await jobs.CreateModelJob(job("b"), metadata=TOKEN)
    first = await jobs.ListModelJobs(pb.ListModelJobsRequest(options=ListOptions(page_size=1)))
    rest = await jobs.ListModelJobs(
        pb.ListModelJobsRequest(options=ListOptions(page_size=1, page_token=first.next_page_token))
    )
    assert [i.metadata.name for i in (*first.items, *rest.items)] == ["a", "b"]
    await jobs.DeleteModelJob(pb.DeleteModelJobRequest(name="a"), metadata=TOKEN)
    assert (await failure(jobs.GetModelJob(pb.GetModelJobRequest(name="a"))))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_write_needs_the_token(jobs: Any) -> None:
    code, message, reason, _ = await failure(jobs.CreateModelJob(job("a")))
    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "a token is needed" in message
    wrong = [("authorization", "Bearer guess")]
    assert (await failure(jobs.CreateModelJob(job("a"), metadata=wrong)))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_a_wrong_field_is_named(jobs: Any) -> None:
    code, message, _, fields = await failure(jobs.CreateModelJob(job("a", model=""), metadata=TOKEN))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields == ["spec.model"]
    assert message == "spec.model: is required"


async def test_errors_have_their_codes_and_reasons(jobs: Any) -> None:
    await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    assert (await failure(jobs.CreateModelJob(job("a"), metadata=TOKEN)))[0] is grpc.StatusCode.ALREADY_EXISTS
    request = job("a")
    request.namespace = "nowhere"
    assert (await failure(jobs.CreateModelJob(request, metadata=TOKEN)))[2] == "NAMESPACE_NOT_FOUND"
    stale = pb.DeleteModelJobRequest(name="a", resource_version="999")
    assert (await failure(jobs.DeleteModelJob(stale, metadata=TOKEN)))[0] is grpc.StatusCode.ABORTED
    logs = jobs.StreamLogs(StreamLogsRequest(name="a")).read()
    assert (await failure(logs))[2] == "NO_LOG"


async def test_a_watch_tells_of_changes_and_its_own_end(jobs: Any) -> None:
    await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    watch = jobs.WatchModelJobs(pb.WatchModelJobsRequest())
    async with asyncio.timeout(10):
        added = await watch.read()
        assert (added.type, added.object.metadata.name) == ("ADDED", "a")
        await jobs.CancelModelJob(pb.CancelModelJobRequest(name="a"), metadata=TOKEN)
        modified = await watch.read()
        assert (modified.type, modified.object.metadata.generation) == ("MODIFIED", 1)
        watch.cancel()
        resumed = jobs.WatchModelJobs(
            pb.WatchModelJobsRequest(options=WatchOptions(resource_version=added.object.metadata.resource_version))
        )
        assert await resumed.read() == modified
        resumed.cancel()


async def test_apply_is_declarative(jobs: Any) -> None:
    request = pb.ApplyModelJobRequest(name="a", model_job=job("a").model_job)
    request.model_job.metadata.labels["team"] = "vision"
    created = await jobs.ApplyModelJob(request, metadata=TOKEN)
    assert await jobs.ApplyModelJob(request, metadata=TOKEN) == created
    del request.model_job.metadata.labels["team"]
    changed: ModelJob = await jobs.ApplyModelJob(request, metadata=TOKEN)
    assert not changed.metadata.labels
    request.model_job.spec.model = "team/other:v1"
    assert (await failure(jobs.ApplyModelJob(request, metadata=TOKEN)))[3] == ["spec"]


def test_every_rpc_that_is_no_read_by_name_needs_the_token() -> None:
    services = (JOBS, *model_service_pb2.DESCRIPTOR.services_by_name.values())
    services += tuple(serving_service_pb2.DESCRIPTOR.services_by_name.values())
    reads = {m.name for s in services for m in s.methods if is_read(m.name)}
    assert reads == {
        "GetModelJob", "ListModelJobs", "WatchModelJobs", "ListEvents", "StreamLogs",
        "ListProjects", "GetProject", "ListModels", "GetModel", "ListModelVersions", "GetModelVersion",
        "GetServing", "ListServings", "WatchServings", "ListInstances", "RenderServing",
    }  # fmt: skip
