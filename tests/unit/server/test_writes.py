"""What all writes of the API have in common: ids of requests, dry runs, conditions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from klever.api.kinds import MODEL_JOB, SERVING, Kind
from klever.controllers.pushes import ensure_namespace
from klever.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError
from klever.server.authored import AuthoredObjects
from klever.server.jobs import JobHandlers
from klever.server.objects import Objects
from klever.server.services import JOBS, SERVINGS, make_services
from klever.server.servings import ServingHandlers
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import job_service_pb2 as jobs_pb
from klever.v1alpha1 import serving_service_pb2 as servings_pb
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.serving_pb2 import Serving

Call = Any


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    """Calls an RPC by its request."""
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "default")
    nothing: Any = None
    jobs, servings = Objects[ModelJob](store, MODEL_JOB), AuthoredObjects[Serving](store, SERVING)
    custom = {JOBS: JobHandlers(jobs, nothing), SERVINGS: ServingHandlers(servings, nothing, nothing)}
    services = make_services([jobs, servings], custom)
    kinds: dict[str, Kind] = {"ModelJob": MODEL_JOB, "Serving": SERVING}

    async def make(request: Message) -> Any:
        name = request.DESCRIPTOR.name.removesuffix("Request")
        service = next(s for s in services if name in s.descriptor.methods_by_name)
        method = service.descriptor.methods_by_name[name]
        answer = await service.handler(method)(request)
        message = kinds.get(method.output_type.name)
        return (
            message.message.FromString(answer) if message and message.message and isinstance(answer, bytes) else answer
        )

    yield make
    await store.close()


def job(name: str = "", **request: Any) -> jobs_pb.CreateModelJobRequest:
    made = jobs_pb.CreateModelJobRequest(**request)
    made.model_job.metadata.name = name
    made.model_job.spec.model = "team/m:v1"
    made.model_job.spec.extraction.format = "ONNX"
    return made


def serving(**request: Any) -> servings_pb.CreateServingRequest:
    made = servings_pb.CreateServingRequest(**request)
    made.serving.metadata.name = "digits"
    made.serving.spec.predictors.add(name="main", model="team/m:v1", traffic=100)
    made.serving.spec.predictors.add(name="canary", model="team/m:v2", traffic=0)
    return made


async def test_a_retry_makes_one_object(call: Call) -> None:
    first = await call(job("a", request_id="r-1"))
    assert await call(job("a", request_id="r-1")) == first
    with pytest.raises(AlreadyExistsError):
        await call(job("a", request_id="r-2"))
    with pytest.raises(AlreadyExistsError):
        await call(job("a"))
    unnamed = job(request_id="r-3")
    unnamed.model_job.metadata.generate_name = "extract-"
    made = await call(unnamed)
    assert made.metadata.name.startswith("extract-")
    assert await call(unnamed) == made
    with pytest.raises(InvalidError):
        await call(job("b", request_id="x" * 200))


async def test_a_write_that_is_only_validated_changes_nothing(call: Call) -> None:
    assert (await call(job("a", validate_only=True))).metadata.name == "a"
    with pytest.raises(NotFoundError):
        await call(jobs_pb.GetModelJobRequest(name="a"))
    await call(serving())
    before = await call(servings_pb.GetServingRequest(name="digits"))
    dry: dict[str, Any] = {"name": "digits", "validate_only": True}
    shared = await call(servings_pb.SetTrafficRequest(traffic={"canary": 100}, **dry))
    assert [p.traffic for p in shared.spec.predictors] == [0, 100]
    assert (await call(servings_pb.ScaleServingRequest(replicas=4, predictor="main", **dry))).spec.predictors[
        0
    ].replicas == 4
    assert [p.name for p in (await call(servings_pb.AbortServingRequest(**dry))).spec.predictors] == ["main"]
    await call(servings_pb.DeleteServingRequest(**dry))
    with pytest.raises(InvalidError):
        await call(servings_pb.SetTrafficRequest(traffic={"canary": 7}, **dry))
    assert await call(servings_pb.GetServingRequest(name="digits")) == before


async def test_a_uid_is_a_condition(call: Call) -> None:
    old = (await call(serving())).metadata.uid
    deleted = await call(servings_pb.DeleteServingRequest(name="digits", uid=old))
    assert (deleted.metadata.uid, deleted.spec.predictors[0].name) == (old, "main")
    await call(serving())
    for request in (
        servings_pb.DeleteServingRequest(name="digits", uid=old),
        servings_pb.SetTrafficRequest(name="digits", uid=old, traffic={"main": 100}),
        servings_pb.ScaleServingRequest(name="digits", uid=old, replicas=2, predictor="main"),
    ):
        with pytest.raises(ConflictError):
            await call(request)
    await call(job("a"))
    with pytest.raises(ConflictError):
        await call(jobs_pb.CancelModelJobRequest(name="a", uid=old))


async def test_labels_and_annotations_of_a_job_can_change(call: Call) -> None:
    await call(job("a"))
    update = jobs_pb.UpdateModelJobRequest(name="a")
    update.model_job.metadata.labels["team"] = "vision"
    assert dict((await call(update)).metadata.labels) == {"team": "vision"}
    cancel = jobs_pb.UpdateModelJobRequest(name="a", update_mask=FieldMask(paths=["spec.cancel"]))
    cancel.model_job.spec.cancel = True
    changed = await call(cancel)
    assert (changed.spec.cancel, dict(changed.metadata.labels)) == (True, {"team": "vision"})
    spec = jobs_pb.UpdateModelJobRequest(name="a", update_mask=FieldMask(paths=["spec.model"]))
    spec.model_job.spec.model = "team/m:v2"
    with pytest.raises(InvalidError):
        await call(spec)


async def test_the_shares_before_a_change_are_a_field(call: Call) -> None:
    await call(serving())
    changed = await call(servings_pb.SetTrafficRequest(name="digits", traffic={"main": 70, "canary": 30}))
    assert [(s.predictor, s.percent) for s in changed.spec.previous_traffic] == [("main", 100), ("canary", 0)]
    undone = await call(servings_pb.SetTrafficRequest(name="digits", undo=True))
    assert ([p.traffic for p in undone.spec.predictors], list(undone.spec.previous_traffic)) == ([100, 0], [])
