"""A server of this process, and the command line beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import CollectorRegistry

from klever.api.kinds import MODEL_JOB, SERVING
from klever.auth.token import token_access
from klever.cmd.main import main
from klever.controllers.pushes import ensure_namespace
from klever.limits import DEFAULTS
from klever.server.app import make_server
from klever.server.authored import AuthoredObjects
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.info import InfoHandlers
from klever.server.jobs import JobHandlers
from klever.server.models import ModelHandlers
from klever.server.services import JOBS, MODELS, SERVER, SERVINGS, make_services
from klever.server.servings import ServingHandlers
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import model_service_pb2 as pb
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving
from tests.unit.cli.commands.running import KEY, Done, Klever

VERSION = pb.ModelVersion(
    project="team",
    model="digits",
    tag="v1",
    reference="team/digits:v1",
    digest=f"sha256:{'1' * 64}",
    size=5999,
    create_time=Timestamp(seconds=1),
    format="ONNX",
    trust=pb.ModelVersion.DATA,
    input_count=1,
    output_count=2,
    labels={"stage": "prod"},
)
MODEL = pb.Model(project="team", name="digits", version_count=1, latest=VERSION)


class FixedModels(ModelHandlers):
    """One model in the project team."""

    async def list_models(self, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(items=[MODEL] if request.project in ("-", MODEL.project) else [])

    async def list_model_versions(self, request: pb.ListModelVersionsRequest) -> pb.ListModelVersionsResponse:
        return pb.ListModelVersionsResponse(items=[VERSION])

    async def get_model_version(self, request: pb.GetModelVersionRequest) -> pb.ModelVersion:
        return VERSION


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    yield store
    await store.close()


@pytest.fixture
async def address(store: SqliteStore) -> AsyncIterator[str]:
    binder = Binder(token_access("secret", anonymous=True), RpcMetrics(CollectorRegistry()))
    nothing: Any = None  # nobody is asked for what runs
    objects = AuthoredObjects[Serving](store, SERVING)
    jobs = AuthoredObjects[ModelJob](store, MODEL_JOB)
    custom = {
        SERVINGS: ServingHandlers(objects, nothing, nothing),
        JOBS: JobHandlers(jobs, nothing),
        MODELS: FixedModels(store, nothing),
        SERVER: InfoHandlers("1.2.3", ("store.sqlite",), DEFAULTS),
    }
    services = make_services([objects, jobs], custom)
    server = await make_server(binder, services)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    binder.end_streams()
    await server.stop(None)


@pytest.fixture
def klever(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Klever:
    """Runs the command line beside the server's loop."""
    monkeypatch.setenv("HOME", str(tmp_path))

    async def run(*arguments: str) -> Done:
        flags = ("--server", f"http://{address}", "--token", "secret")
        code = await asyncio.to_thread(main, (arguments[0], *flags, *arguments[1:]))
        return Done(*capsys.readouterr(), code)

    return run


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., str]:
    """Writes a file with one Serving, and returns its path."""

    def write(model: str = "team/digits:v1", **predictor: Any) -> str:
        path = tmp_path / "serving.yaml"
        spec = {"predictors": [{"name": "main", "model": model, **predictor}]}
        obj = {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "metadata": {"name": KEY.name}, "spec": spec}
        path.write_text(json.dumps(obj))
        return str(path)

    return write
