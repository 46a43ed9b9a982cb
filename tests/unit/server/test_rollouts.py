"""Promotion, rollback and scaling: what each changes, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from klever.api.codec import to_object
from klever.api.kinds import SERVING, Object
from klever.artifacts.metadata import ModelMetadata
from klever.catalog.catalogue import Version
from klever.controllers.pushes import ensure_namespace
from klever.controllers.serving.history import AUTHOR, RevisionHistory
from klever.errors import ConflictError, FailedPreconditionError, InvalidError, NotFoundError
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.server.authored import AuthoredObjects
from klever.server.calls import CALLER
from klever.server.servings import ServingHandlers
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import serving_service_pb2 as pb
from klever.v1alpha1.serving_pb2 import Serving

KEY = Key("default", "digits")
MAIN: dict[str, Any] = {"name": "main", "model": "team/digits:v1", "replicas": 2, "traffic": 80}
CANARY: dict[str, Any] = {"name": "canary", "model": "team/digits:v2", "replicas": 1, "traffic": 20}


class World:
    """A Serving in a store, its API, and what its controller would write."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        nothing: Any = None  # nobody is asked for what runs
        self.api = ServingHandlers(AuthoredObjects[Serving](store, SERVING), nothing, nothing)
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    async def declare(self, *predictors: dict[str, Any]) -> Object:
        return await self.store.apply(
            SERVING,
            {
                "apiVersion": SERVING.api_version,
                "kind": SERVING.kind,
                "metadata": {"namespace": KEY.namespace, "name": KEY.name},
                "spec": {"predictors": list(predictors)},
            },
        )

    async def ready(self, *predictors: dict[str, Any]) -> None:
        """Declare predictors, and let them become Ready."""
        serving = await self.declare(*predictors)
        versions = {p["name"]: version(p["model"]) for p in predictors}
        self.now += timedelta(minutes=1)
        status = {
            "revision": await RevisionHistory(self.store).record(serving, versions, self.now),
            "observedGeneration": serving["metadata"]["generation"],
            "predictors": [
                {"name": p["name"], "model": p["model"], "digest": str(version(p["model"]).digest), "ready": True}
                for p in predictors
            ],
        }
        await self.store.patch(SERVING, KEY, {"status": status}, subresource="status")

    async def predictors(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.store.get(SERVING, KEY))["spec"]["predictors"]
        return found

    async def rollback(self, number: int = 0) -> list[dict[str, Any]]:
        await self.api.rollback_serving(pb.RollbackServingRequest(name=KEY.name, number=number))
        return await self.predictors()


def version(model: str) -> Version:
    reference = Reference.parse(model)
    digest = reference.digest or Digest.of(model.encode())
    return Version(reference, digest, digest, 1, ModelMetadata(), "ormb")


def pinned(predictor: dict[str, Any]) -> dict[str, Any]:
    return {**predictor, "model": f"{predictor['model']}@{version(predictor['model']).digest}"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    yield World(store)
    await store.close()


def with_model(tag: str) -> dict[str, Any]:
    return {"name": "main", "model": f"team/digits:{tag}", "replicas": 1}


async def test_a_rollback_returns_to_what_serves_if_the_spec_is_not_ready(world: World) -> None:
    await world.ready(with_model("v1"))
    await world.declare(with_model("mistyped"))
    assert await world.rollback() == [pinned(with_model("v1"))]


async def test_a_rollback_returns_to_what_served_before_and_a_second_one_further_back(world: World) -> None:
    for tag in ("v1", "v2", "v3"):
        await world.ready(with_model(tag))
    assert await world.rollback() == [pinned(with_model("v2"))]
    await world.ready(*await world.predictors())
    assert await world.rollback() == [pinned(with_model("v1"))]
    await world.ready(*await world.predictors())
    with pytest.raises(FailedPreconditionError):
        await world.rollback()
    assert await world.rollback(3) == [pinned(with_model("v3"))]


async def test_a_rollback_skips_what_was_rolled_back_from(world: World) -> None:
    for tag in ("good", "bad"):
        await world.ready(with_model(tag))
    await world.rollback()
    await world.ready(*await world.predictors())
    await world.ready(with_model("new"))
    assert await world.rollback() == [pinned(with_model("good"))]


async def test_a_revision_that_is_not_kept_is_not_found_and_the_kept_ones_are_listed(world: World) -> None:
    await world.ready(with_model("v1"))
    with pytest.raises(NotFoundError, match="1"):
        await world.rollback(9)


async def test_revisions_are_listed_with_their_models_and_times(world: World) -> None:
    await world.ready(with_model("v1"))
    await world.ready(with_model("v2"))
    listed = (await world.api.list_serving_revisions(pb.ListServingRevisionsRequest(name=KEY.name))).items
    assert [(r.spec.number, r.spec.models[0].predictor) for r in listed] == [(1, "main"), (2, "main")]
    served = [to_object(r)["status"]["served"] for r in listed]
    assert ["endTime" in intervals[-1] for intervals in served] == [True, False]
    with pytest.raises(NotFoundError):
        await world.api.list_serving_revisions(pb.ListServingRevisionsRequest(name="nope"))


async def test_a_promotion_moves_the_very_version_that_the_canary_runs(world: World) -> None:
    await world.ready(MAIN, CANARY)
    await world.api.promote_serving(pb.PromoteServingRequest(name=KEY.name))
    expected = {**pinned(CANARY), "name": "main", "replicas": 2, "traffic": 100}
    assert await world.predictors() == [expected]


async def test_a_canary_that_is_not_ready_is_not_promoted(world: World) -> None:
    await world.ready({**MAIN, "traffic": 100})
    await world.declare(MAIN, CANARY)
    with pytest.raises(FailedPreconditionError) as refused:
        await world.api.promote_serving(pb.PromoteServingRequest(name=KEY.name))
    assert refused.value.reason == "NOT_READY"
    with pytest.raises(NotFoundError):
        await world.api.promote_serving(pb.PromoteServingRequest(name=KEY.name, predictor="nope"))


async def test_an_abort_removes_the_canary(world: World) -> None:
    await world.declare(MAIN, CANARY)
    await world.api.abort_serving(pb.AbortServingRequest(name=KEY.name))
    assert await world.predictors() == [{**MAIN, "traffic": 100}]


async def test_scaling_changes_one_number(world: World) -> None:
    await world.declare(MAIN, CANARY)
    await world.api.scale_serving(pb.ScaleServingRequest(name=KEY.name, replicas=5))
    await world.api.scale_serving(pb.ScaleServingRequest(name=KEY.name, replicas=0, predictor="canary"))
    assert await world.predictors() == [{**MAIN, "replicas": 5}, {**CANARY, "replicas": 0}]
    with pytest.raises(InvalidError):
        await world.api.scale_serving(pb.ScaleServingRequest(name=KEY.name, replicas=-1))


async def test_the_caller_who_changes_a_spec_is_its_author(world: World) -> None:
    await world.declare(MAIN, CANARY)
    CALLER.set("jane")
    changed = await world.api.abort_serving(pb.AbortServingRequest(name=KEY.name))
    assert changed.metadata.annotations[AUTHOR] == "jane"


async def test_a_change_of_another_version_is_refused(world: World) -> None:
    old = (await world.declare(MAIN, CANARY))["metadata"]["resourceVersion"]
    await world.declare(MAIN, {**CANARY, "replicas": 3})
    with pytest.raises(ConflictError):
        await world.api.abort_serving(pb.AbortServingRequest(name=KEY.name, resource_version=old))


async def test_a_change_of_what_is_being_deleted_is_refused(world: World) -> None:
    await world.declare(MAIN, CANARY)
    await world.store.patch(SERVING, KEY, {"metadata": {"finalizers": ["example.com/held"]}})
    await world.store.delete(SERVING, KEY)
    with pytest.raises(FailedPreconditionError) as refused:
        await world.api.abort_serving(pb.AbortServingRequest(name=KEY.name))
    assert refused.value.reason == "BEING_DELETED"
