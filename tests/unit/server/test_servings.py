"""What ServingService changes of an object, and what it refuses to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from klever.api.kinds import SERVING
from klever.backends import Backend, ServingKey
from klever.controllers.pushes import ensure_namespace
from klever.errors import ConflictError, FailedPreconditionError, InvalidError
from klever.server.objects import Objects
from klever.server.services import SERVINGS, make_services
from klever.server.servings import ServingHandlers
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import serving_service_pb2 as pb
from klever.v1alpha1.serving_pb2 import Serving


class Servings:
    """ServingService, called without a channel."""

    def __init__(self, store: SqliteStore) -> None:
        nothing: Any = None  # nobody is asked for what runs
        objects = Objects[Serving](store, SERVING)
        (self._service,) = make_services([objects], {SERVINGS: ServingHandlers(objects, nothing, nothing)})

    async def call(self, method: str, request: Message) -> Serving:
        answer = await self._service.handler(SERVINGS.methods_by_name[method])(request)
        return answer if isinstance(answer, Serving) else Serving.FromString(answer)

    async def create_serving(self, request: pb.CreateServingRequest) -> Serving:
        return await self.call("CreateServing", request)

    async def update_serving(self, request: pb.UpdateServingRequest) -> Serving:
        return await self.call("UpdateServing", request)

    async def set_traffic(self, request: pb.SetTrafficRequest) -> Serving:
        return await self.call("SetTraffic", request)


@pytest.fixture
async def servings(tmp_path: Path) -> AsyncIterator[Servings]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "default")
    yield Servings(store)
    await store.close()


def serving(**shares: int) -> Serving:
    made = Serving()
    made.metadata.name = "digits"
    made.metadata.labels["team"] = "vision"
    for name, share in shares.items():
        made.spec.predictors.add(name=name, model="team/digits:v1", traffic=share)
    return made


async def create(servings: Servings, **shares: int) -> Serving:
    return await servings.create_serving(pb.CreateServingRequest(serving=serving(**shares)))


def update(changed: Serving, *paths: str) -> pb.UpdateServingRequest:
    return pb.UpdateServingRequest(name="digits", serving=changed, update_mask=FieldMask(paths=paths))


def traffic(request: dict[str, int], **more: Any) -> pb.SetTrafficRequest:
    return pb.SetTrafficRequest(name="digits", traffic=request, **more)


def shares(serving: Serving) -> dict[str, int]:
    return {p.name: p.traffic for p in serving.spec.predictors}


async def test_an_update_changes_what_its_mask_names(servings: Servings) -> None:
    await create(servings, main=100)
    other = serving(main=60, canary=40)
    other.metadata.labels["team"] = "speech"
    labelled = await servings.update_serving(update(other, "metadata.labels"))
    assert (dict(labelled.metadata.labels), shares(labelled)) == ({"team": "speech"}, {"main": 100})
    changed = await servings.update_serving(update(other, "spec.predictors"))
    assert shares(changed) == {"main": 60, "canary": 40}
    assert (labelled.metadata.generation, changed.metadata.generation) == (1, 2)
    bare = serving()
    del bare.metadata.labels["team"]
    assert not (await servings.update_serving(update(bare, "metadata.labels"))).metadata.labels


@pytest.mark.parametrize("path", ["spec.nope", "status", "metadata.name", "metadata.labels.team", "metadata", ""])
async def test_a_mask_that_names_something_else_is_refused(servings: Servings, path: str) -> None:
    await create(servings, main=100)
    with pytest.raises(InvalidError, match="update_mask: "):
        await servings.update_serving(update(serving(main=100), path))


async def test_an_update_of_an_old_state_is_refused(servings: Servings) -> None:
    stale = await create(servings, main=100)
    await servings.set_traffic(traffic({"main": 100}, resource_version=stale.metadata.resource_version))
    with pytest.raises(ConflictError):
        await servings.update_serving(update(stale, "spec"))
    with pytest.raises(ConflictError):
        await servings.set_traffic(traffic({"main": 100}, resource_version=stale.metadata.resource_version))


async def test_shares_are_set_together_and_taken_back(servings: Servings) -> None:
    await create(servings, main=80, canary=20)
    with pytest.raises(InvalidError, match="must sum to 100, not 90"):
        await servings.set_traffic(traffic({"main": 90}))
    with pytest.raises(InvalidError, match=r"traffic\[nobody\]: no such predictor"):
        await servings.set_traffic(traffic({"main": 90, "nobody": 10}))
    with pytest.raises(FailedPreconditionError, match="nothing to undo"):
        await servings.set_traffic(traffic({}, undo=True))
    assert shares(await servings.set_traffic(traffic({"canary": 100}))) == {"main": 0, "canary": 100}
    assert shares(await servings.set_traffic(traffic({}, undo=True))) == {"main": 80, "canary": 20}
    with pytest.raises(FailedPreconditionError, match="nothing to undo"):
        await servings.set_traffic(traffic({}, undo=True))


class Talkative:
    """A backend whose replicas say more than anybody reads."""

    async def logs(self, _key: ServingKey, _name: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        for number in range(10_000):
            yield f"line {number}"


async def test_an_abandoned_log_stream_leaves_no_tasks() -> None:
    nothing = cast("Any", None)
    servings = ServingHandlers(nothing, cast("Backend", Talkative()), nothing)
    before = asyncio.all_tasks()
    lines = servings._lines(ServingKey("default", "digits"), ["one", "two"], pb.ServingServiceStreamLogsRequest())
    await anext(lines)
    await asyncio.sleep(0)
    await lines.aclose()
    if left := asyncio.all_tasks() - before:
        assert not (await asyncio.wait(left, timeout=5))[1]
