"""A registry that answers late, or never: what asks it waits until its deadline, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from klever.api.kinds import MODEL_JOB
from klever.auth.token import token_access
from klever.catalog.oci import OciCatalogue
from klever.environments import EnvironmentManager
from klever.executors.local import LocalExecutor
from klever.oci.layout import Layout
from klever.oci.registries import Registries
from klever.process import ProcessManager
from klever.server import binding
from klever.server.app import make_server
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.jobs import JobHandlers
from klever.server.models import ModelHandlers
from klever.server.objects import Objects
from klever.server.services import JOBS, MODELS, make_services
from klever.store.sqlite import SqliteStore
from klever.v1alpha1 import job_service_pb2 as jobs_pb
from klever.v1alpha1 import model_service_pb2 as pb
from klever.v1alpha1.job_service_pb2_grpc import JobServiceStub
from klever.v1alpha1.model_service_pb2_grpc import ModelServiceStub
from klever.v1alpha1.modeljob_pb2 import ModelJob
from tests.contract.executor import COMMAND, ended, task
from tests.unit.server.conftest import Author

TOKEN = [("authorization", "Bearer secret")]
CALLERS = 20
DIGITS = pb.GetModelRequest(project="team", model="digits")


@dataclass
class Platform:
    models: Any
    jobs: Any
    executor: LocalExecutor

    async def run_a_job(self) -> None:
        """Make a job, have its task run, and read its log."""
        request = jobs_pb.CreateModelJobRequest(namespace="team")
        request.model_job.metadata.name = "read"
        request.model_job.spec.model = "team/digits:v1"
        request.model_job.spec.extraction.format = "ONNX"
        async with asyncio.timeout(10):
            made = await self.jobs.CreateModelJob(request, metadata=TOKEN)
            await self.executor.ensure(task(uid=made.metadata.uid, lines=["done"]))
            await ended(self.executor, made.metadata.uid)
            line = await self.jobs.StreamLogs(jobs_pb.JobServiceStreamLogsRequest(namespace="team", name="read")).read()
        assert line.text == "done"


@pytest.fixture
def catalogue(registries: Registries, tmp_path: Path) -> OciCatalogue:
    """The catalogue of a registry elsewhere, which can be slow."""
    return OciCatalogue(registries, Layout(tmp_path / "metadata"))


@pytest.fixture
async def platform(models: ModelHandlers, store: SqliteStore, processes: ProcessManager) -> AsyncIterator[Platform]:
    binder = Binder(token_access("secret", anonymous=True), RpcMetrics(CollectorRegistry()))
    jobs = Objects[ModelJob](store, MODEL_JOB)
    async with LocalExecutor(processes, COMMAND, env={}, environments=EnvironmentManager(processes.root)) as executor:
        server = await make_server(binder, make_services([jobs], {MODELS: models, JOBS: JobHandlers(jobs, executor)}))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Platform(ModelServiceStub(channel), JobServiceStub(channel), executor)
        await server.stop(None)


async def test_a_registry_that_answers_late(platform: Platform, author: Author, awake: asyncio.Event) -> None:
    await author.push("team/digits:v1")
    awake.clear()
    asking = [asyncio.ensure_future(platform.models.GetModel(DIGITS)) for _ in range(CALLERS)]
    await platform.run_a_job()
    assert not any(asked.done() for asked in asking)
    awake.set()
    assert [model.name for model in await asyncio.gather(*asking)] == ["digits"] * CALLERS


async def test_a_registry_that_never_answers(
    platform: Platform, author: Author, awake: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    await author.push("team/digits:v1")
    monkeypatch.setattr(binding, "DEADLINE", 3.0)
    awake.clear()
    asking = [asyncio.ensure_future(platform.models.GetModel(DIGITS)) for _ in range(CALLERS)]
    asking += [asyncio.ensure_future(platform.models.ListModels(pb.ListModelsRequest())) for _ in range(CALLERS)]
    await platform.run_a_job()
    failed: list[Any] = await asyncio.gather(*asking, return_exceptions=True)
    assert {(one.code(), one.details()) for one in failed} == {
        (grpc.StatusCode.DEADLINE_EXCEEDED, "GetModel did not end in time"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "ListModels did not end in time"),
    }
