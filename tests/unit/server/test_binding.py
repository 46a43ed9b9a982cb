"""The API over a real channel: statuses, details, authentication, watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from klever.api.kinds import MODEL_JOB
from klever.auth.token import token_access
from klever.cmd.logs import JsonFormatter
from klever.controllers.pushes import ensure_namespace
from klever.errors import NotFoundError
from klever.limits import Limits
from klever.server import binding
from klever.server.app import make_server
from klever.server.auth import is_read
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.jobs import JobHandlers
from klever.server.objects import Objects
from klever.server.services import JOBS, Service, make_services
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import job_service_pb2 as pb
from klever.v1alpha1 import model_service_pb2, serving_service_pb2
from klever.v1alpha1.common_pb2 import WatchEvent
from klever.v1alpha1.job_service_pb2_grpc import JobServiceStub
from klever.v1alpha1.modeljob_pb2 import ModelJob

TOKEN = [("authorization", "Bearer secret")]


class NoExecutor:
    """Nothing runs: jobs stay as they are."""

    fault: type[Exception] = NotFoundError

    async def logs(self, uid: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        if follow:
            yield "the first line"
            await asyncio.Event().wait()
        raise self.fault(f"task {uid} is not known")


@pytest.fixture
def executor() -> Any:
    return NoExecutor()


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def binder(metrics: CollectorRegistry) -> Binder:
    return Binder(token_access("secret", anonymous=True), RpcMetrics(metrics))


@pytest.fixture
async def services(tmp_path: Path, executor: Any) -> AsyncIterator[list[Service]]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "default")
    jobs = Objects[ModelJob](store, MODEL_JOB)
    yield make_services([jobs], {JOBS: JobHandlers(jobs, executor)})
    await store.close()


@pytest.fixture
async def channel(services: list[Service], binder: Binder) -> AsyncIterator[grpc.aio.Channel]:
    server = await make_server(binder, services)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
def jobs(channel: grpc.aio.Channel) -> Any:
    return JobServiceStub(channel)


def job(name: str, **spec: Any) -> pb.CreateModelJobRequest:
    request = pb.CreateModelJobRequest()
    request.model_job.metadata.name = name
    request.model_job.spec.model = spec.get("model", "team/m:v1")
    request.model_job.spec.extraction.format = "ONNX"
    return request


async def test_compressed_messages_are_refused(jobs: Any) -> None:
    """They would be decompressed before anybody asks who sent them."""
    request = job("it", model=f"team/{'m' * 1000}")
    sent = jobs.CreateModelJob(request, compression=grpc.Compression.Gzip)
    assert (await failure(sent))[0] is grpc.StatusCode.UNAUTHENTICATED
    sent = jobs.CreateModelJob(request, metadata=TOKEN, compression=grpc.Compression.Gzip)
    assert (await failure(sent))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_answer_beyond_the_limit_is_refused(jobs: Any, binder: Binder) -> None:
    await jobs.CreateModelJob(job("it", model=f"team/{'m' * 1000}"), metadata=TOKEN)
    binder._limits = Limits(response_bytes=1000)
    request = pb.GetModelJobRequest(namespace="default", name="it")
    code, _, reason, _ = await failure(jobs.GetModelJob(request))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")


class Gone:
    """The context of a call whose caller has gone, before grpc has heard of it: nothing can be sent."""

    code = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def set_trailing_metadata(self, _metadata: object) -> None:
        return

    def time_remaining(self) -> None:
        return None

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def write(self, _response: object) -> None:
        raise grpc.aio.InternalError("Failed grpc_call_start_batch")

    async def abort(self, *_status: object) -> None:
        raise grpc.aio.InternalError("Failed grpc_call_start_batch")


@pytest.mark.parametrize("request_", [pb.WatchModelJobsRequest(), pb.GetModelJobRequest(name="none")])
async def test_a_caller_that_has_gone_ends_its_call(
    binder: Binder, services: list[Service], jobs: Any, request_: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Anything but a cancellation would be logged by grpc with a traceback."""
    await jobs.CreateModelJob(job("it"), metadata=TOKEN)
    handler = binder._method(services[0], JOBS.methods_by_name[request_.DESCRIPTOR.name.removesuffix("Request")])
    call: Any = handler.unary_stream or handler.unary_unary
    with pytest.raises(asyncio.CancelledError):
        await call(request_.SerializeToString(), Gone())
    assert not [record for record in caplog.records if record.exc_info]


async def test_streams_beyond_the_limit_are_refused(jobs: Any, binder: Binder) -> None:
    binder._limits = Limits(open_streams=1)
    watch = jobs.WatchModelJobs(pb.WatchModelJobsRequest())
    await jobs.CreateModelJob(job("it"), metadata=TOKEN)
    await watch.read()
    code, _, reason, _ = await failure(jobs.WatchModelJobs(pb.WatchModelJobsRequest()).read())
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    watch.cancel()


async def test_anonymous_streams_leave_some_to_callers_with_a_token(jobs: Any, binder: Binder) -> None:
    binder._limits = Limits(open_streams=2, anonymous_streams=1)
    await jobs.CreateModelJob(job("it"), metadata=TOKEN)
    watch = jobs.WatchModelJobs(pb.WatchModelJobsRequest())
    await watch.read()
    code, *_ = await failure(jobs.WatchModelJobs(pb.WatchModelJobsRequest()).read())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    mine = jobs.WatchModelJobs(pb.WatchModelJobsRequest(), metadata=TOKEN)
    assert (await mine.read()).object.metadata.name == "it"
    watch.cancel()
    mine.cancel()


def read_status(error: Any) -> Any:
    """What an error's details say; an `AioRpcError` has what a call has, though not by its type."""
    return rpc_status.from_call(error)


async def failure(call: Any) -> tuple[grpc.StatusCode, str, str, list[str]]:
    """Code, message, ErrorInfo's reason, and the fields of the violations."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = read_status(caught.value)
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
    first = await jobs.ListModelJobs(pb.ListModelJobsRequest(page_size=1))
    rest = await jobs.ListModelJobs(pb.ListModelJobsRequest(page_size=1, page_token=first.next_page_token))
    assert [i.metadata.name for i in (*first.items, *rest.items)] == ["a", "b"]
    await jobs.DeleteModelJob(pb.DeleteModelJobRequest(name="a"), metadata=TOKEN)
    assert (await failure(jobs.GetModelJob(pb.GetModelJobRequest(name="a"))))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_write_needs_the_token(jobs: Any) -> None:
    code, message, reason, _ = await failure(jobs.CreateModelJob(job("a")))
    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert "missing token" in message
    wrong = [("authorization", "Bearer guess")]
    assert (await failure(jobs.CreateModelJob(job("a"), metadata=wrong)))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_a_wrong_field_is_named(jobs: Any) -> None:
    code, message, _, fields = await failure(jobs.CreateModelJob(job("a", model=""), metadata=TOKEN))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert fields == ["model_job.spec.model"]
    assert message == "spec.model: is required"


async def test_a_page_of_less_than_nothing_is_refused(jobs: Any) -> None:
    listing = jobs.ListModelJobs(pb.ListModelJobsRequest(page_size=-1))
    assert (await failure(listing))[3] == ["page_size"]
    assert (await failure(jobs.ListEvents(pb.JobServiceListEventsRequest(page_size=-1))))[3] == ["page_size"]


async def test_errors_have_their_codes_and_reasons(jobs: Any) -> None:
    await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    assert (await failure(jobs.CreateModelJob(job("a"), metadata=TOKEN)))[0] is grpc.StatusCode.ALREADY_EXISTS
    request = job("a")
    request.namespace = "nowhere"
    assert (await failure(jobs.CreateModelJob(request, metadata=TOKEN)))[2] == "NAMESPACE_NOT_FOUND"
    stale = pb.DeleteModelJobRequest(name="a", resource_version="999")
    assert (await failure(jobs.DeleteModelJob(stale, metadata=TOKEN)))[0] is grpc.StatusCode.ABORTED
    logs = jobs.StreamLogs(pb.JobServiceStreamLogsRequest(name="a")).read()
    assert (await failure(logs))[2] == "NO_LOG"


async def test_a_request_that_cannot_be_read_is_invalid(channel: Any, metrics: CollectorRegistry) -> None:
    no_text = b"\x12\x01\xff"  # a name that is not UTF-8
    call = channel.unary_unary("/klever.v1alpha1.JobService/GetModelJob")
    assert (await failure(call(no_text)))[::2] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID")
    stream = channel.unary_stream("/klever.v1alpha1.JobService/WatchModelJobs")
    assert (await failure(anext(aiter(stream(b"\xff")))))[::2] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID")
    labels = {"service": "JobService", "method": "GetModelJob", "code": "INVALID_ARGUMENT"}
    assert metrics.get_sample_value("klever_rpc_total", labels) == 1


async def test_a_watch_tells_of_changes_and_its_own_end(jobs: Any) -> None:
    await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    watch = jobs.WatchModelJobs(pb.WatchModelJobsRequest())
    async with asyncio.timeout(10):
        added = await watch.read()
        assert (added.type, added.object.metadata.name) == (WatchEvent.ADDED, "a")
        await jobs.CancelModelJob(pb.CancelModelJobRequest(name="a"), metadata=TOKEN)
        modified = await watch.read()
        assert (modified.type, modified.object.spec.cancel) == (WatchEvent.MODIFIED, True)
        watch.cancel()
        resumed = jobs.WatchModelJobs(pb.WatchModelJobsRequest(resource_version=added.object.metadata.resource_version))
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
    assert (await failure(jobs.ApplyModelJob(request, metadata=TOKEN)))[3] == ["model_job.spec"]


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(JsonFormatter().format(r)) for r in caplog.records if r.name == "klever.server.calls"]


async def test_a_call_has_an_id_that_its_caller_can_quote(jobs: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    call = jobs.CreateModelJob(job("a"), metadata=[*TOKEN, ("x-request-id", "mine-1")])
    await call
    assert dict(tuple(await call.trailing_metadata()))["x-request-id"] == "mine-1"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await jobs.GetModelJob(pb.GetModelJobRequest(name="b"), metadata=[("x-request-id", "no id")])
    trailer: Any = caught.value.trailing_metadata()
    made = dict(tuple(trailer))["x-request-id"]
    info = error_details_pb2.RequestInfo()
    assert [d for d in read_status(caught.value).details if d.Unpack(info)]
    assert info.request_id == made != "no id"
    created, missed = lines(caplog)
    assert created | {"ms": 0, "time": "", "peer": ""} == {
        "time": "", "level": "INFO", "logger": "klever.server.calls", "message": "rpc",
        "method": "JobService/CreateModelJob", "object": "ModelJob default/a", "code": "OK", "ms": 0,
        "user": "owner", "peer": "", "request_id": "mine-1",
    }  # fmt: skip
    assert created["peer"].startswith("ipv4:127.0.0.1:")
    assert (missed["code"], missed["user"], missed["request_id"]) == ("NOT_FOUND", "anonymous", made)
    assert missed["object"] == "ModelJob default/b"
    assert '"default/b" not found' in missed["error"]
    assert "secret" not in caplog.text


async def test_an_unexpected_error_is_logged_and_hidden_from_callers(
    jobs: Any, executor: NoExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    executor.fault = RuntimeError
    created = await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    logs = jobs.StreamLogs(pb.JobServiceStreamLogsRequest(name="a"), metadata=[("x-request-id", "mine-2")]).read()
    code, message, _, _ = await failure(logs)
    assert (code, "mine-2" in message) == (grpc.StatusCode.INTERNAL, True)
    line = lines(caplog)[-1]
    assert (line["level"], line["request_id"]) == ("ERROR", "mine-2")
    assert f"RuntimeError: task {created.metadata.uid}" in line["traceback"]


async def test_a_caller_that_leaves_ends_its_stream(jobs: Any, metrics: CollectorRegistry) -> None:
    await jobs.CreateModelJob(job("a"), metadata=TOKEN)
    logs = jobs.StreamLogs(pb.JobServiceStreamLogsRequest(name="a", follow=True))
    watch = jobs.WatchModelJobs(pb.WatchModelJobsRequest())
    assert (await logs.read()).text == "the first line"
    await watch.read()
    logs.cancel()
    watch.cancel()
    async with asyncio.timeout(10):
        for method in ("StreamLogs", "WatchModelJobs"):
            labels = {"service": "JobService", "method": method, "code": "CANCELLED"}
            while metrics.get_sample_value("klever_rpc_total", labels) != 1:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)


async def test_a_deadline_ends_a_call(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "STREAM_DEADLINE", 0.1)
    code, message, reason, _ = await failure(anext(aiter(jobs.WatchModelJobs(pb.WatchModelJobsRequest()))))
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert message == "WatchModelJobs did not end in time"


async def test_pages_fit_into_a_message(jobs: Any) -> None:
    for name in "abcdefghijklmnopqrst":
        request = job(name)
        request.model_job.metadata.annotations["note"] = "x" * 250_000
        await jobs.CreateModelJob(request, metadata=TOKEN)
    found: list[str] = []
    token = ""
    while not found or token:
        page = await jobs.ListModelJobs(pb.ListModelJobsRequest(page_token=token))
        found += [item.metadata.name for item in page.items]
        token = page.next_page_token
    assert found == list("abcdefghijklmnopqrst")


def test_every_rpc_that_is_no_read_by_name_needs_the_token() -> None:
    services = (JOBS, *model_service_pb2.DESCRIPTOR.services_by_name.values())
    services += tuple(serving_service_pb2.DESCRIPTOR.services_by_name.values())
    reads = {m.name for s in services for m in s.methods if is_read(m.name)}
    assert reads == {
        "GetModelJob", "ListModelJobs", "WatchModelJobs", "ListEvents", "StreamLogs",
        "ListProjects", "GetProject", "ListModels", "GetModel", "ListModelVersions", "GetModelVersion", "WatchModels",
        "GetServing", "ListServingRevisions", "ListServings", "WatchServings", "ListInstances", "RenderServing",
    }  # fmt: skip


async def test_an_open_watch_does_not_delay_the_stop(jobs: Any, binder: Binder) -> None:
    watch = jobs.WatchModelJobs(pb.WatchModelJobsRequest(bookmarks=True))
    assert (await watch.read()).type == WatchEvent.BOOKMARK
    binder.end_streams()
    async with asyncio.timeout(10):
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE  # a read of grpc.aio may miss the end of a call
        assert (await watch.details()).startswith("WatchModelJobs ")
