"""What a push sets off, whatever was there before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from klever.api.kinds import MODEL_INSPECTION, MODEL_JOB, NAMESPACE, Kind, Object
from klever.api.text import format_time
from klever.artifacts.dialects import ormb
from klever.catalog.catalogue import Push, Version
from klever.controllers.extraction import CONTENT_ANNOTATION, concerns
from klever.controllers.inspections import ALLOW_CODE, find_inspection, record_inspection
from klever.controllers.jobs import apply_job
from klever.controllers.pushes import PushReconciler, ensure_namespace
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.snapshot import Resolution, ResolvedModel
from klever.errors import DeadlineError, IntegrityError, KleverError, NotFoundError, PermissionDeniedError
from klever.formats import Trust
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.runtimes.table import create_all
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.unit.controllers.registry import READ, Registry

KEY = Key("team", "digits:v1")
PUSH = Push("team/digits", "v1", Digest.of(b"pushed"))
PREDICTOR = {"name": "main", "model": "team/digits:v1"}
SERVING = {"metadata": {"namespace": "team", "generation": 1}, "spec": {"predictors": [PREDICTOR]}}


class Counting:
    """The store, and what was asked to be made in it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.made: list[Kind] = []
        self.asked: list[Kind] = []

    async def create(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> Object:
        self.made.append(kind)
        return await self._store.create(kind, obj, dry_run=dry_run)

    async def get(self, kind: Kind, key: Key) -> Object:
        self.asked.append(kind)
        return await self._store.get(kind, key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class World:
    def __init__(self, store: SqliteStore) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)
        self.store = Counting(store)
        self.registry = Registry()
        catalogue: Any = self.registry
        self.pushes = PushReconciler(self.store, store, catalogue, clock=lambda: self.now)
        self.models = ModelResolver(self.store, catalogue, create_all(), clock=lambda: self.now)

    async def push(self, digest: str, content: str = "content") -> None:
        self.pushes.notify(replace(PUSH, digest=self.registry.push(digest, content)))
        await self.pushes.reconcile(KEY)

    async def jobs(self) -> list[Object]:
        return list((await self.store.list(MODEL_JOB, "team")).items)

    async def job(self) -> Object:
        (job,) = await self.jobs()
        return job

    async def end(self, phase: str, reason: str = "Completed", *, digest: str = "") -> str:
        """End the one job; returns its uid."""
        metadata = (await self.job())["metadata"]
        status: dict[str, Any] = {"phase": phase, "message": "why", "completionTime": format_time(self.now)}
        if phase == "Succeeded":
            await self.inspect(metadata["annotations"][CONTENT_ANNOTATION])
            status["result"] = {"model": "team/digits:v1", "digest": str(self.registry.push(digest, signature=READ))}
        else:
            condition = {"type": "Failed", "status": "True", "reason": reason, "message": "why"}
            status["conditions"] = [condition | {"lastTransitionTime": format_time(self.now)}]
        key = Key("team", metadata["name"])
        await self.store.patch(MODEL_JOB, key, {"status": status}, subresource="status")
        return str(metadata["uid"])

    async def inspect(self, content: str, **found: Any) -> None:
        """Keep an inspection, as the ModelJob's reconciler does before it reports success."""
        await record_inspection(self.store, {"content": content, "inspectorVersion": VERSION, **found}, self.now)

    async def allow(self, value: str | None) -> None:
        await self.store.patch(NAMESPACE, Key("", "team"), {"metadata": {"labels": {ALLOW_CODE: value}}})

    async def clear_jobs(self) -> None:
        for job in await self.jobs():
            await self.store.delete(MODEL_JOB, Key("team", job["metadata"]["name"]))

    async def clear(self) -> None:
        """Delete the project, and return when it is gone."""
        await self.store.delete(MODEL_JOB, Key("team", (await self.job())["metadata"]["name"]))
        await self.clear_project()

    async def clear_project(self) -> None:
        """Delete the project, which has no jobs, and return when it is gone."""
        with suppress(NotFoundError):
            await self.store.delete(NAMESPACE, Key("", "team"))
            async with asyncio.timeout(5):
                async for event in self.store.watch(NAMESPACE):
                    if event.type == "DELETED":
                        return
                    await self.store.get(NAMESPACE, Key("", "team"))

    async def resolve(self, serving: Object = SERVING) -> ResolvedModel:
        """Resolve the model of the Serving, and have the job run that it needs."""
        found = (await self.models.resolve(serving))["main"]
        if found.job is not None:
            await apply_job(self.store, found.job)
        return found

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, "team")
    yield World(store)
    await store.close()


async def test_a_signature_is_read_once(world: World) -> None:
    await world.push("a")
    uid = (await world.job())["metadata"]["uid"]
    assert (await world.pushes.reconcile(KEY)).requeue_after is not None
    assert await world.end("Succeeded", digest="a with signature") == uid
    assert (await world.pushes.reconcile(KEY)).requeue_after is None
    assert (await world.job())["metadata"]["uid"] == uid


async def test_an_existing_job_is_not_created_again(world: World) -> None:
    """On an API server each try is a call, for every version at every start and every look of a Serving."""
    world.registry.push("a")
    await world.pushes.reconcile(KEY)
    await world.pushes.reconcile(KEY)
    await world.resolve()
    await world.resolve()
    assert world.store.made == [MODEL_JOB]
    assert world.store.asked.count(NAMESPACE) == 1


async def test_looking_at_a_model_creates_and_deletes_nothing(world: World) -> None:
    world.registry.push("a")
    assert (await world.models.resolve(SERVING))["main"].state is Resolution.SIGNATURE_PENDING
    assert not await world.jobs()
    await world.resolve()
    uid = await world.end("Failed", "PullFailed")
    world.later(31)
    assert (await world.models.resolve(SERVING))["main"].state is Resolution.SIGNATURE_PENDING
    assert (await world.job())["metadata"]["uid"] == uid


async def test_a_job_is_beside_the_serving_if_there_is_no_project_of_the_models(world: World) -> None:
    world.registry.push("a")
    await ensure_namespace(world.store, "other")
    elsewhere = {**SERVING, "metadata": {"namespace": "other", "generation": 1}}
    await world.store.delete(NAMESPACE, Key("", "team"))
    await world.resolve(elsewhere)
    (job,) = (await world.store.list(MODEL_JOB, "other")).items
    assert f"other/{job['metadata']['name']}" in (await world.resolve(elsewhere)).message


async def test_a_project_that_was_deleted_is_made_again(world: World) -> None:
    await world.push("a")
    await world.clear()
    await world.push("b", "other")
    assert await world.job()
    await world.clear()
    with pytest.raises(NotFoundError, match="team"):  # which is tried again
        await world.pushes.reconcile(KEY)
    await world.pushes.reconcile(KEY)
    assert await world.job()


async def test_a_signature_that_a_second_push_takes_away_is_read_again(world: World) -> None:
    await world.push("a")
    uid = await world.end("Succeeded", digest="a with signature")
    await world.pushes.reconcile(KEY)
    world.later(5)
    await world.push("a")
    await world.pushes.reconcile(KEY)
    assert (await world.job())["metadata"]["uid"] != uid


async def test_an_empty_result_of_a_job_counts(world: World) -> None:
    await world.push("a")
    uid = await world.end("Succeeded", digest="b")
    world.registry.push("b")  # the same, and no signature in it
    await world.pushes.reconcile(KEY)
    assert (await world.pushes.reconcile(KEY)).requeue_after is None
    assert (await world.job())["metadata"]["uid"] == uid


@pytest.mark.parametrize("reason", ["PullFailed", "PushFailed", "ExportFailed"])
async def test_a_transient_failure_is_retried_after_a_delay(world: World, reason: str) -> None:
    await world.push("a")
    uid = await world.end("Failed", reason)
    world.later(10)
    assert (await world.pushes.reconcile(KEY)).requeue_after is not None
    assert (await world.job())["metadata"]["uid"] == uid
    seen = await world.resolve()
    assert seen.state is Resolution.WAITING
    world.later(30)
    await world.resolve()
    assert (await world.resolve()).state is Resolution.SIGNATURE_PENDING
    assert (await world.job())["metadata"]["uid"] != uid


@pytest.mark.parametrize("reason", ["TaskFailed", "OOMKilled", "Cancelled"])
async def test_only_a_push_retries_a_permanent_failure(world: World, reason: str) -> None:
    await world.push("a")
    uid = await world.end("Failed", reason)
    world.later(100)
    assert (await world.pushes.reconcile(KEY)).requeue_after is None
    seen = await world.resolve()
    assert seen.state is Resolution.FAILED
    assert (await world.job())["metadata"]["uid"] == uid
    await world.push("a")
    await world.pushes.reconcile(KEY)
    assert (await world.job())["metadata"]["uid"] != uid


async def test_a_failure_in_the_second_of_the_push_is_not_retried(world: World) -> None:
    world.later(0.7)  # a job's times have no fractions
    await world.push("a")
    world.later(0.2)
    uid = await world.end("Failed", "TaskFailed")
    assert (await world.pushes.reconcile(KEY)).requeue_after is None
    assert (await world.job())["metadata"]["uid"] == uid
    await world.push("a")
    await world.pushes.reconcile(KEY)
    assert (await world.job())["metadata"]["uid"] != uid


async def test_a_reference_with_a_digest_is_read_by_digest(world: World) -> None:
    digest = world.registry.push("a")
    serving = {**SERVING, "spec": {"predictors": [{"name": "main", "model": f"team/digits@{digest}"}]}}
    assert (await world.resolve(serving)).state is Resolution.SIGNATURE_PENDING
    spec = (await world.job())["spec"]
    assert spec["model"] == f"team/digits@{digest}"
    assert spec["desiredTag"] == f"team/digits:signature-{Digest.of(b'content').hex[:12]}"


@pytest.mark.parametrize("error", [PermissionDeniedError("no"), IntegrityError("damaged"), DeadlineError("slow")])
async def test_the_status_quotes_the_registry_s_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, error: KleverError
) -> None:
    async def fail(_reference: Reference) -> Version:
        raise error

    monkeypatch.setattr(world.registry, "resolve", fail)
    seen = await world.resolve()
    assert (seen.state, seen.reason) == (Resolution.WAITING, "RegistryUnavailable")
    assert seen.message == f"team/digits:v1: {error.message}"


async def test_servings_of_other_projects_wait_for_the_push_s_own_job(world: World) -> None:
    await world.push("a")
    await ensure_namespace(world.store, "other")
    elsewhere = {**SERVING, "metadata": {"namespace": "other", "generation": 1}}
    waits = (await world.models.resolve(elsewhere))["main"]
    assert waits.state is Resolution.SIGNATURE_PENDING
    job = await world.job()
    assert job["metadata"]["namespace"] == "team"
    assert f"team/{job['metadata']['name']}" in waits.message
    assert not (await world.store.list(MODEL_JOB, "other")).items
    assert concerns(job, elsewhere)
    for model in ("team/digits2:v1", "other/digits:v1", "host.example/team/digits:v1"):
        assert not concerns(job, {**SERVING, "spec": {"predictors": [{"name": "main", "model": model}]}})


async def test_a_tag_that_moves_to_and_fro_ends_with_its_signature(world: World) -> None:
    await world.push("a", "one")
    await world.push("b", "two")
    await world.push("a", "one")
    one, two = sorted(await world.jobs(), key=lambda job: int(job["metadata"]["resourceVersion"]))
    assert one["spec"] == two["spec"]
    await world.store.delete(MODEL_JOB, Key("team", two["metadata"]["name"]))
    uid = await world.end("Failed", "PushFailed")  # when it would write, the tag had moved
    world.later(31)
    await world.pushes.reconcile(KEY)
    await world.pushes.reconcile(KEY)
    assert (await world.job())["metadata"]["uid"] != uid


async def test_a_push_that_comes_while_the_one_before_is_looked_at_is_looked_at_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed one is pushed anew, as its message advises, while another is."""
    await world.push("a")
    uid = await world.end("Failed", "TaskFailed")
    await world.pushes.reconcile(KEY)
    look = world.registry.resolve

    async def resolve(reference: Reference) -> Version:
        version = await look(reference)
        world.pushes.notify(replace(PUSH, digest=world.registry.push("a")))
        monkeypatch.undo()
        return version

    world.pushes.notify(replace(PUSH, digest=world.registry.push("b", signature=READ)))
    monkeypatch.setattr(world.registry, "resolve", resolve)
    await world.pushes.reconcile(KEY)
    await world.pushes.reconcile(KEY)
    await world.pushes.reconcile(KEY)
    assert (await world.job())["metadata"]["uid"] != uid


async def test_content_without_an_inspection_gets_one_and_keeps_its_signature(world: World) -> None:
    world.registry.push("a", signature=READ)
    assert (await world.pushes.reconcile(KEY)).requeue_after is not None
    assert (await world.job())["spec"]["extraction"] == {"format": "ONNX", "inspectOnly": True}
    assert (await world.resolve()).state is Resolution.SIGNATURE_PENDING
    await world.end("Succeeded", digest="a")
    assert (await world.pushes.reconcile(KEY)).requeue_after is None
    found = await world.resolve()
    assert (found.state, found.trust) == (Resolution.RESOLVED, Trust.DATA)


async def test_content_is_inspected_once_whatever_names_it(world: World) -> None:
    await world.push("a")
    await world.end("Succeeded", digest="a with signature")
    await world.clear_jobs()
    world.registry.push("another version", signature=READ)
    assert (await world.pushes.reconcile(KEY)).requeue_after is None
    assert not await world.jobs()


async def test_a_job_of_a_platform_that_did_not_inspect_is_done_again(world: World) -> None:
    await world.push("a")
    uid = await world.end("Succeeded", digest="a with signature")
    await world.store.delete(MODEL_INSPECTION, Key("", f"sha256-{Digest.of(b'content').hex}"))
    for _ in range(2):
        await world.pushes.reconcile(KEY)
    assert (await world.job())["metadata"]["uid"] != uid


@pytest.mark.parametrize("format_", ["SKLearn", "Pickle", "MLflow", "TorchScript", "no such format"])
async def test_a_format_that_is_code_is_denied_until_the_project_allows_it(world: World, format_: str) -> None:
    world.registry.push("a", format_=format_)
    denied = await world.resolve()
    assert (denied.state, denied.reason, denied.trust) == (Resolution.DENIED, "CodeNotAllowed", Trust.CODE)
    assert denied.message.endswith("run `klever allow-code team`")
    assert not await world.jobs()
    await world.allow("true")
    assert (await world.resolve()).state is not Resolution.DENIED
    await world.allow(None)
    assert (await world.resolve()).state is Resolution.DENIED


async def test_content_that_is_code_in_its_format_is_denied(world: World) -> None:
    world.registry.push("a", signature=READ)
    await world.inspect(str(Digest.of(b"content")), codeFormats=["ONNX"])
    assert (await world.resolve()).state is Resolution.DENIED
    await world.allow("true")
    found = await world.resolve()
    assert (found.state, found.trust) == (Resolution.RESOLVED, Trust.CODE)


async def test_a_command_is_code_and_its_model_is_inspected_first(world: World) -> None:
    world.registry.push("a")
    predictor = {"name": "main", "model": "team/digits:v1", "command": ["true"]}
    serving = {**SERVING, "spec": {"predictors": [predictor, {"name": "bare", "command": ["true"]}]}}
    denied = await world.models.resolve(serving)
    assert [model.state for model in denied.values()] == [Resolution.DENIED] * 2
    await world.allow("true")
    allowed = await world.models.resolve(serving)
    assert allowed["main"].state is Resolution.SIGNATURE_PENDING
    assert (allowed["bare"].state, allowed["bare"].trust) == (Resolution.RESOLVED, Trust.CODE)
    await world.inspect(str(Digest.of(b"content")))
    assert (await world.models.resolve(serving))["main"].state is Resolution.RESOLVED


async def test_an_inspection_that_is_current_stays(world: World) -> None:
    content = str(Digest.of(b"content"))
    await world.inspect(content, codeFormats=["ONNX"])
    await world.inspect(content)
    found = await find_inspection(world.store, Digest.parse(content))
    assert found is not None
    assert found["spec"]["codeFormats"] == ["ONNX"]


async def test_content_that_an_older_version_inspected_is_inspected_again(world: World) -> None:
    content = Digest.of(b"content")
    await world.inspect(str(content), codeFormats=["ONNX"], files=3)
    key = Key("", f"sha256-{content.hex}")
    await world.store.patch(MODEL_INSPECTION, key, {"spec": {"inspectorVersion": 0}})
    world.registry.push("a", signature=READ)
    await world.pushes.reconcile(KEY)
    await world.end("Succeeded", digest="a")
    spec = (await world.store.get(MODEL_INSPECTION, key))["spec"]
    assert (spec["inspectorVersion"], spec.get("codeFormats"), spec.get("files")) == (VERSION, None, None)


async def test_a_push_waits_for_its_project(world: World) -> None:
    catalogue: Any = world.registry
    pushes = PushReconciler(world.store, world.store, catalogue, makes_projects=False)
    world.registry.push("one")
    await world.clear_project()
    await pushes.reconcile(KEY)
    assert world.store.made == []
    await ensure_namespace(world.store, "team")
    world.store.made.clear()
    await pushes.reconcile(KEY)
    assert world.store.made == [MODEL_JOB]


def test_a_push_that_is_not_a_model_sets_nothing_off(world: World) -> None:
    image = replace(PUSH, config_media_type="application/vnd.oci.image.config.v1+json")
    assert world.pushes.notify(image) is None
    assert world.pushes.notify(replace(PUSH, config_media_type=ormb.CONFIG)) == KEY


async def test_a_job_is_for_the_digest_that_was_pushed(world: World) -> None:
    pushed = world.registry.push("pushed", "its content")
    world.registry.push("pushed by digest since", "another content")
    world.pushes.notify(replace(PUSH, digest=pushed))
    await world.pushes.reconcile(KEY)
    content = (await world.job())["metadata"]["annotations"][CONTENT_ANNOTATION]
    assert content == str(Digest.of(b"its content"))
