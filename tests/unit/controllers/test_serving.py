"""What a Serving does while its model, its registry or its job is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from klever.api.kinds import MODEL_JOB, NAMESPACE, SERVING, SERVING_REVISION
from klever.backends import Instance, InstancePhase, Workload
from klever.catalog.catalogue import Version
from klever.controllers.inspections import ALLOW_CODE, record_inspection
from klever.controllers.modeljob import FINALIZER
from klever.controllers.pushes import ensure_namespace
from klever.controllers.serving import ServingReconciler
from klever.controllers.serving.history import AUTHOR
from klever.controllers.serving.models import ModelResolver
from klever.errors import UnavailableError
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.oci.reference import Reference
from klever.routers import Route
from klever.runtimes.table import create_all
from klever.store import Key
from klever.store.events import EventRecorder
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.unit.controllers.registry import READ, Registry

KEY = Key("team", "digits")
COMMAND = {"name": "command", "command": ["serve"], "traffic": 50}


class Away(Registry):
    async def resolve(self, reference: Reference) -> Version:
        raise UnavailableError(f"{reference}: the registry does not answer")


class Nothing:
    """A backend and a router: nothing runs, and no request comes."""

    routes_shares = False

    def check(self, predictor: object) -> tuple[()]:
        return ()

    async def ensure(self, workload: object) -> None: ...

    async def publish(self, route: object) -> None: ...

    async def observe(self, key: object) -> tuple[()]:
        return ()

    async def routes(self) -> tuple[()]:
        return ()

    def url(self, key: object) -> str:
        return f"http://host/{key}"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """It has one Serving, of the tag."""
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    await store.create(SERVING, {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"namespace": KEY.namespace, "name": KEY.name},
        "spec": {"predictors": [{"name": "main", "model": "team/digits:v1"}]},
    })  # fmt: skip
    yield store
    await store.close()


def reconciler(store: SqliteStore, catalogue: Any, parts: Any) -> ServingReconciler:
    """Return one on a backend and a router that are the same object, `parts`."""
    models = ModelResolver(store, catalogue, create_all())
    return ServingReconciler(store, models, parts, parts, EventRecorder(store, "test"))


def control_plane(store: SqliteStore, registry: Registry) -> ServingReconciler:
    """One that has just started."""
    return reconciler(store, registry, Nothing())


async def test_a_digest_stays_pinned_while_the_registry_is_away(store: SqliteStore) -> None:
    async def pinned() -> str:
        return str((await store.get(SERVING, KEY))["status"]["predictors"][0].get("digest"))

    registry = Registry()
    first = str(registry.push("a", signature=READ))
    for content in (b"content", b"other content"):
        found = {"content": str(Digest.of(content)), "inspectorVersion": VERSION}
        await record_inspection(store, found, datetime.now(UTC))
    for _ in range(2):  # the finalizer comes first
        await control_plane(store, registry).reconcile(KEY)
    assert await pinned() == first
    again = await control_plane(store, Away()).reconcile(KEY)
    assert again.requeue_after is not None
    assert await pinned() == first
    registry.push("b", "other content", signature=READ)  # the tag moves: nobody asked this Serving to
    await control_plane(store, registry).reconcile(KEY)
    assert await pinned() == first


async def test_a_serving_that_waits_for_a_deleted_job_looks_again(store: SqliteStore) -> None:
    registry = Registry()
    registry.push("a")
    serving = control_plane(store, registry)
    for _ in range(2):
        await serving.reconcile(KEY)
    (job,) = (await store.list(MODEL_JOB, KEY.namespace)).items
    name = Key(KEY.namespace, job["metadata"]["name"])
    await store.patch(MODEL_JOB, name, {"metadata": {"finalizers": [FINALIZER]}})
    await store.delete(MODEL_JOB, name)
    assert (await serving.reconcile(KEY)).requeue_after is not None
    await store.patch(MODEL_JOB, name, {"metadata": {"finalizers": []}})
    await serving.reconcile(KEY)
    (other,) = (await store.list(MODEL_JOB, KEY.namespace)).items
    assert other["metadata"]["uid"] != job["metadata"]["uid"]


class Running(Nothing):
    """A backend on which everything is Ready at once, and a router that publishes what it is given."""

    def __init__(self) -> None:
        self.workload: Workload | None = None
        self.route: Route | None = None
        self.calls: list[str] = []

    async def ensure(self, workload: Any) -> None:
        self.calls.append("ensure")
        self.workload = workload

    async def publish(self, route: Any) -> None:
        self.calls.append("publish")
        self.route = route

    async def drain(self, key: object, workload: str) -> None: ...

    async def routes(self) -> Any:
        return (self.route,) if self.route else ()

    async def observe(self, key: object) -> Any:
        predictors = self.workload.predictors if self.workload else ()
        return tuple(
            Instance(p.id, p.predictor, p.id, InstancePhase.READY, http="127.0.0.1:1", trust=p.trust, index=index)
            for p in predictors
            for index in range(p.replicas)
        )


async def test_code_is_stopped_when_its_project_denies_it_and_data_beside_it_is_not(store: SqliteStore) -> None:
    registry, running = Registry(), Running()
    registry.push("a", signature=READ)
    found = {"content": str(Digest.of(b"content")), "inspectorVersion": VERSION}
    await record_inspection(store, found, datetime.now(UTC))
    predictors = [{"name": "main", "model": "team/digits:v1", "traffic": 50}, COMMAND]
    await store.patch(SERVING, KEY, {"spec": {"predictors": predictors}})
    serving = reconciler(store, registry, running)

    async def reconciled() -> tuple[list[str], dict[str, int], str]:
        """Return what shall run, the live shares, and why the Serving is not Ready."""
        for _ in range(3):
            await serving.reconcile(KEY)
        assert running.workload is not None
        assert running.route is not None
        shares = {t.predictor: t.weight for t in running.route.targets if t.http}
        ready = (await store.get(SERVING, KEY))["status"]["conditions"][0]
        return [p.predictor for p in running.workload.predictors], shares, ready["reason"]

    assert await reconciled() == (["main"], {"main": 100}, "CodeNotAllowed")
    await allow(store, "true")
    assert await reconciled() == (["main", "command"], {"main": 50, "command": 50}, "Serving")
    await allow(store, None)
    assert await reconciled() == (["main"], {"main": 100}, "CodeNotAllowed")
    assert running.workload is not None
    assert not running.workload.keep


async def test_a_model_that_is_code_replaces_no_data_where_it_is_denied(store: SqliteStore) -> None:
    registry, running = Registry(), Running()
    registry.push("a", signature=READ)
    found = {"content": str(Digest.of(b"content")), "inspectorVersion": VERSION}
    await record_inspection(store, found, datetime.now(UTC))
    serving = reconciler(store, registry, running)
    for _ in range(3):
        await serving.reconcile(KEY)
    assert running.workload is not None
    (before,) = running.workload.predictors
    await store.patch(SERVING, KEY, {"spec": {"predictors": [{"name": "main", "command": ["serve"]}]}})
    await serving.reconcile(KEY)
    assert running.workload.predictors == (before,)


async def inspected(store: SqliteStore, *contents: bytes) -> None:
    for content in contents:
        found = {"content": str(Digest.of(content)), "inspectorVersion": VERSION}
        await record_inspection(store, found, datetime.now(UTC))


async def set_model(store: SqliteStore, model: str) -> None:
    await store.patch(SERVING, KEY, {"spec": {"predictors": [{"name": "main", "model": model}]}})


async def reconciled(serving: ServingReconciler, times: int = 3) -> None:
    for _ in range(times):
        await serving.reconcile(KEY)


async def revisions(store: SqliteStore) -> dict[int, tuple[str, list[bool]]]:
    """Return, by number, the digest of each revision's model, and whether each of its intervals has ended."""
    items = (await store.list(SERVING_REVISION, KEY.namespace)).items
    return {
        r["spec"]["number"]: (r["spec"]["models"][0]["digest"], ["endTime" in i for i in r["status"]["served"]])
        for r in items
    }


async def test_the_last_good_revision_serves_after_a_restart_while_the_spec_names_a_model_that_is_missing(
    store: SqliteStore,
) -> None:
    registry = Registry()
    registry.push("a", signature=READ)
    await inspected(store, b"content")
    before = Running()
    await reconciled(reconciler(store, registry, before))
    assert before.workload is not None
    registry.version = None  # of every tag; the digest is still there
    await set_model(store, "team/digits:v9")
    restarted = Running()  # nothing runs, and nothing is published
    await reconciled(reconciler(store, registry, restarted))
    assert restarted.workload is not None
    assert restarted.workload.predictors == before.workload.predictors
    assert restarted.route is not None
    assert [(t.predictor, t.weight, bool(t.http)) for t in restarted.route.targets] == [("main", 100, True)]
    status = (await store.get(SERVING, KEY))["status"]
    assert (status["phase"], status["revision"]) == ("Degraded", 1)


async def test_each_spec_that_was_ready_is_a_revision_and_a_return_to_it_is_another_interval(
    store: SqliteStore,
) -> None:
    registry, running = Registry(), Running()
    first = str(registry.push("a", signature=READ))
    await inspected(store, b"content", b"other content")
    await store.patch(SERVING, KEY, {"metadata": {"annotations": {AUTHOR: "jane"}}})
    serving = reconciler(store, registry, running)
    await reconciled(serving, 4)
    second = str(registry.push("b", "other content", signature=READ))
    await set_model(store, f"team/digits@{second}")
    await reconciled(serving)
    assert await revisions(store) == {1: (first, [True]), 2: (second, [False])}
    await set_model(store, f"team/digits@{first}")
    await reconciled(serving)
    assert await revisions(store) == {1: (first, [True, False]), 2: (second, [True])}
    one = await store.get(SERVING_REVISION, Key(KEY.namespace, f"{KEY.name}-1"))
    assert (one["spec"]["author"], one["spec"]["template"]["predictors"][0]["model"]) == ("jane", "team/digits:v1")
    assert (await store.get(SERVING, KEY))["status"]["revision"] == 1


async def test_a_serving_that_is_scaled_to_zero_serves_no_revision(store: SqliteStore) -> None:
    registry, running = Registry(), Running()
    digest = str(registry.push("a", signature=READ))
    await inspected(store, b"content")
    serving = reconciler(store, registry, running)
    await reconciled(serving)
    spec = (await store.get(SERVING, KEY))["spec"]["predictors"]
    await store.patch(SERVING, KEY, {"spec": {"predictors": [{**spec[0], "replicas": 0}]}})
    await reconciled(serving)
    assert await revisions(store) == {1: (digest, [True])}
    assert running.workload is not None
    assert [p.replicas for p in running.workload.predictors] == [0]
    await store.patch(SERVING, KEY, {"spec": {"predictors": spec}})
    await reconciled(serving)
    assert await revisions(store) == {1: (digest, [True, False])}


class Starting(Running):
    """A backend on which replicas of some models never become Ready."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: set[str] = set()
        """Parts of the references of models."""

    async def observe(self, key: object) -> Any:
        slow = {
            p.id
            for p in (self.workload.predictors if self.workload else ())
            if any(part in p.model for part in self.slow)
        }
        return tuple(
            replace(i, phase=InstancePhase.STARTING) if i.workload in slow else i for i in await super().observe(key)
        )


async def test_the_gap_of_a_recreate_is_in_no_interval_of_a_revision(store: SqliteStore) -> None:
    registry, running, now = Registry(), Starting(), datetime.now(UTC)
    first, second, third = (str(registry.push(name, signature=READ)) for name in ("a", "b", "c"))
    await inspected(store, b"content")
    await store.patch(SERVING, KEY, {"spec": {"strategy": {"type": "Recreate"}}})
    models = ModelResolver(store, cast(Any, registry), create_all())
    parts: Any = running
    serving = ServingReconciler(store, models, parts, parts, EventRecorder(store, "test"), clock=lambda: now)
    await set_model(store, f"team/digits@{first}")
    await reconciled(serving)
    running.slow = {second}
    await set_model(store, f"team/digits@{second}")
    await reconciled(serving)
    assert await revisions(store) == {1: (first, [True])}
    now += timedelta(hours=1)  # beyond the deadline: the first revision serves again
    await reconciled(serving, 6)
    assert await revisions(store) == {1: (first, [True, False])}
    await set_model(store, f"team/digits@{third}")
    await reconciled(serving, 4)
    assert await revisions(store) == {1: (first, [True, True]), 2: (third, [False])}
    one = await store.get(SERVING_REVISION, Key(KEY.namespace, f"{KEY.name}-1"))
    assert [interval.get("interrupted", False) for interval in one["status"]["served"]] == [True, False]


async def test_revisions_beyond_the_limit_go_and_the_one_that_serves_stays(store: SqliteStore) -> None:
    registry, running = Registry(), Running()
    digests = [str(registry.push(name, signature=READ)) for name in ("a", "b", "c")]
    await inspected(store, b"content")
    await store.patch(SERVING, KEY, {"spec": {"revisionHistoryLimit": 1}})
    serving = reconciler(store, registry, running)
    for digest in digests:
        await set_model(store, f"team/digits@{digest}")
        await reconciled(serving)
    assert sorted(await revisions(store)) == [2, 3]
    await store.patch(SERVING, KEY, {"spec": {"revisionHistoryLimit": 0}})
    await set_model(store, f"team/digits@{digests[0]}")
    await reconciled(serving)
    assert await revisions(store) == {4: (digests[0], [False])}  # no number is given twice


async def test_the_last_good_revision_is_found_when_the_status_was_lost(store: SqliteStore) -> None:
    registry, running = Registry(), Running()
    registry.push("a", signature=READ)
    await inspected(store, b"content")
    await reconciled(reconciler(store, registry, running))
    registry.version = None
    status = dict.fromkeys((await store.get(SERVING, KEY))["status"])
    await store.patch(SERVING, KEY, {"status": status}, subresource="status")
    await set_model(store, "team/digits:v9")
    restarted = Running()
    await reconciled(reconciler(store, registry, restarted), 1)
    assert restarted.workload is not None
    assert [p.predictor for p in restarted.workload.predictors] == ["main"]


async def test_a_backend_that_routes_shares_is_given_them_after_the_routes_of_matches(store: SqliteStore) -> None:
    running = Running()
    running.routes_shares = True
    await allow(store, "true")
    tester = {**COMMAND, "name": "beta", "matches": [{"headers": [{"name": "x-user", "exact": "me"}]}]}
    tester.pop("traffic")
    predictors = [{**COMMAND, "traffic": 100}, tester]
    await store.patch(SERVING, KEY, {"spec": {"predictors": predictors}})
    serving = reconciler(store, Registry(), running)
    for _ in range(3):
        await serving.reconcile(KEY)
    assert running.workload is not None
    assert running.workload.shares == {"command": 100}
    assert running.route is not None
    assert [t.predictor for t in running.route.targets] == ["beta"]
    assert running.calls[:2] == ["publish", "ensure"]
    assert (await store.get(SERVING, KEY))["status"]["phase"] == "Ready"


async def allow(store: SqliteStore, value: str | None) -> None:
    await store.patch(NAMESPACE, Key("", KEY.namespace), {"metadata": {"labels": {ALLOW_CODE: value}}})
