"""No request ends in INTERNAL: every handler, with generated messages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klever.api.kinds import KINDS, MODEL_JOB, SERVING
from klever.backends import Instance, InstancePhase, Rendering
from klever.catalog.catalogue import Catalogue
from klever.controllers.render import ServingRenderer
from klever.controllers.serving.models import ModelResolver
from klever.errors import FieldViolation, NotFoundError
from klever.limits import DEFAULTS
from klever.process.resources import check_resources
from klever.routers.headers import check_headers
from klever.runtimes.table import create_all
from klever.server.authored import AuthoredObjects
from klever.server.errors import to_code
from klever.server.info import InfoHandlers
from klever.server.jobs import JobHandlers
from klever.server.models import ModelHandlers
from klever.server.objects import Objects
from klever.server.services import JOBS, MODELS, SERVER, SERVINGS, Service, make_services
from klever.server.servings import ServingHandlers
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.generated import generate
from tests.unit.server.conftest import Author


class Machine:
    """A backend, a router and an executor of which one process runs."""

    def check(self, of: Any) -> tuple[FieldViolation, ...]:
        return tuple(check_headers(of) if isinstance(of, tuple) else check_resources(of.resources))

    async def observe(self, _key: object) -> tuple[Instance, ...]:
        return (Instance("a", "main", "w", InstancePhase.READY, http="127.0.0.1:1", started_at=datetime.now(UTC)),)

    async def render(self, _key: object, workload: Any, _files: object) -> Rendering:
        (instance,) = await self.observe("")
        return Rendering({"config": workload.id}, instance)

    async def logs(self, *_key: object, tail: int | None, follow: bool) -> AsyncIterator[str]:
        yield f"tail {tail}, follow {follow}"
        raise NotFoundError("no log is left")


class Router(Machine):
    def render(self, route: Any) -> dict[str, str]:  # type: ignore[override]  # another contract's
        return {"route": str(route)}


@pytest.fixture
async def services(store: SqliteStore, catalogue: Catalogue, author: Author) -> list[Service]:
    await author.push("team/digits:v1")
    machine: Any = Machine()
    router: Any = Router()
    renderer = ServingRenderer(
        ModelResolver(store, catalogue, create_all()), machine, router,
        admission=SchemaAdmission(), limits=DEFAULTS, hosts=(),
    )  # fmt: skip
    spec = {"predictors": [{"name": "main", "model": "team/digits:v1", "traffic": 100}]}
    await store.create(SERVING, {"metadata": {"namespace": "team", "name": "digits"}, "spec": spec})
    objects: dict[Any, Objects[Any]] = {kind: Objects(store, kind) for kind in KINDS if kind.service}
    objects[SERVING] = AuthoredObjects(store, SERVING)
    custom = {
        MODELS: ModelHandlers(store, catalogue),
        JOBS: JobHandlers(objects[MODEL_JOB], machine),
        SERVINGS: ServingHandlers(objects[SERVING], machine, renderer),
        SERVER: InfoHandlers("0", (), DEFAULTS),
    }
    return make_services(objects.values(), custom)


async def outcome(service: Service, method: Any, request: Any) -> grpc.StatusCode:
    """Return how a call ends. A stream that says nothing more is ended."""
    message = GetMessageClass(method.input_type).FromString(request.SerializeToString())
    try:
        service.action(method).resource(message)
        if not method.server_streaming:
            await service.handler(method)(message)
            return grpc.StatusCode.OK
        async with asyncio.timeout(0.05), aclosing(service.handler(method)(message)) as stream:
            async for _ in stream:
                pass
    except TimeoutError:
        pass
    except Exception as error:
        code = to_code(error)
        if code is grpc.StatusCode.INTERNAL:
            raise AssertionError(f"{method.full_name} of {message}") from error
        return code
    return grpc.StatusCode.OK


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(chance=st.randoms(use_true_random=False))
async def test_no_request_ends_in_internal(services: list[Service], chance: random.Random) -> None:
    for service in services:
        for method in service.descriptor.methods:
            await outcome(service, method, generate(chance, method.input_type))


async def test_an_empty_request_is_refused_or_answered(services: list[Service]) -> None:
    codes = {
        method.name: await outcome(service, method, GetMessageClass(method.input_type)())
        for service in services
        for method in service.descriptor.methods
    }
    assert codes["RenderServing"] is grpc.StatusCode.INVALID_ARGUMENT
    assert codes["ListServings"] is grpc.StatusCode.OK
    assert codes["CreateServing"] is grpc.StatusCode.INVALID_ARGUMENT


async def test_many_random_requests(services: list[Service], tmp_path: Path) -> None:
    """A seed for each run of the suite: bench/generated.py sends 20,000 to a running platform."""
    chance = random.Random(13)
    methods = [(service, method) for service in services for method in service.descriptor.methods]
    seen = set[grpc.StatusCode]()
    for _ in range(600):
        service, method = chance.choice(methods)
        seen.add(await outcome(service, method, generate(chance, method.input_type)))
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND} <= seen
