"""What every store promises. An implementation's tests inherit `StoreContract` and supply the fixture `store`.

Versions are opaque here, namespaces are made per test, and what happens beside a call (collection) is waited for.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from klever.api.kinds import EVENT, MODEL_JOB, NAMESPACE, SERVING, Kind, Object
from klever.errors import (
    AlreadyExistsError,
    ConflictError,
    ExpiredError,
    InvalidError,
    KleverError,
    NotFoundError,
    PermissionDeniedError,
)
from klever.store import Key, Store, WatchEvent
from klever.store.events import EventRecorder

__all__ = ["Others", "StoreContract", "job", "serving"]

Others = Callable[[Object], Awaitable[None]]
"""Declares an object as another tool does, which does not know of Klever."""

SECONDS = 20.0


def job(namespace: str, name: str, **metadata: Any) -> Object:
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "ModelJob",
        "metadata": {"namespace": namespace, "name": name, **metadata},
        "spec": {"model": "team/m:v1", "extraction": {"format": "ONNX"}},
    }


def serving(namespace: str, name: str, **predictor: Any) -> Object:
    return {
        "apiVersion": "kleveross.io/v1alpha1",
        "kind": "Serving",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"predictors": [{"name": "main", "model": "team/m:v1", **predictor}]},
    }


def owner_reference(owner: Object) -> Object:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


@asynccontextmanager
async def watching(watch: AsyncIterator[WatchEvent]) -> AsyncIterator[AsyncIterator[WatchEvent]]:
    """End a watch with its reader: it may hold a connection."""
    try:
        yield watch
    finally:
        if isinstance(watch, AsyncGenerator):
            await watch.aclose()


async def gone(store: Store, kind: Kind, key: Key) -> None:
    """Wait until an object is no longer there."""
    async with asyncio.timeout(SECONDS):
        async for _ in _polls():
            try:
                await store.get(kind, key)
            except NotFoundError:
                return


async def _polls() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(0.01)


class Writer:
    """The store of one who reads nothing."""

    def __init__(self, store: Store) -> None:
        self.create = store.create
        self.patch = store.patch


class StoreContract:
    @pytest.fixture
    async def namespace(self, store: Store) -> str:
        name = f"t-{uuid.uuid4().hex[:10]}"
        await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    @pytest.fixture
    def others(self, store: Store) -> Others:
        """Another tool. A store that knows its writers has more to check."""

        async def write(obj: Object) -> None:
            metadata = obj["metadata"]
            try:
                await store.patch(SERVING, Key(metadata["namespace"], metadata["name"]), obj)
            except NotFoundError:
                await store.create(SERVING, obj)

        return write

    @pytest.fixture
    def other_name(self) -> str:
        """The name by which the store knows `others`."""
        return ""

    # Writing

    async def test_create_gives_metadata_and_defaults(self, store: Store, namespace: str) -> None:
        created = await store.create(SERVING, serving(namespace, "a") | {"status": {"phase": "Ready"}})
        metadata = created["metadata"]
        assert metadata["uid"]
        assert metadata["creationTimestamp"].endswith("Z")
        assert metadata["generation"] == 1
        assert "status" not in created
        assert created["spec"]["replicas"] == 1
        assert await store.get(SERVING, Key(namespace, "a")) == created

    async def test_a_name_is_completed(self, store: Store, namespace: str) -> None:
        obj = job(namespace, "", generateName="run-")
        del obj["metadata"]["name"]
        names = {(await store.create(MODEL_JOB, obj))["metadata"]["name"] for _ in range(3)}
        assert len(names) == 3
        assert all(name.startswith("run-") for name in names)

    async def test_a_name_is_taken_once(self, store: Store, namespace: str) -> None:
        results = await asyncio.gather(
            *(store.create(MODEL_JOB, job(namespace, "a")) for _ in range(8)), return_exceptions=True
        )
        assert sum(isinstance(r, dict) for r in results) == 1
        assert sum(isinstance(r, AlreadyExistsError) for r in results) == 7

    async def test_an_invalid_object_is_refused_with_its_fields(self, store: Store, namespace: str) -> None:
        with pytest.raises(InvalidError) as caught:
            await store.create(SERVING, serving(namespace, "a", traffic=120))
        assert "spec.predictors[0].traffic" in [v.field for v in caught.value.violations]
        with pytest.raises(InvalidError):
            await store.create(MODEL_JOB, job(namespace, "No_Name"))
        with pytest.raises(InvalidError):
            await store.create(MODEL_JOB, job(namespace, "a", labels={"a b": "c"}))

    async def test_a_namespace_must_exist(self, store: Store) -> None:
        with pytest.raises(NotFoundError):
            await store.create(MODEL_JOB, job("nowhere-to-be-found", "a"))

    async def test_the_generation_moves_with_the_spec_alone(self, store: Store, namespace: str) -> None:
        key = Key(namespace, "a")
        created = await store.create(SERVING, serving(namespace, "a"))
        labelled = await store.patch(SERVING, key, {"metadata": {"labels": {"x": "y"}}})
        assert labelled["metadata"]["generation"] == 1
        assert labelled["metadata"]["resourceVersion"] != created["metadata"]["resourceVersion"]
        status = await store.patch(SERVING, key, {"status": {"phase": "Ready"}}, subresource="status")
        assert (status["metadata"]["generation"], status["status"]) == (1, {"phase": "Ready"})
        spec = {"predictors": [{"name": "main", "model": "team/m:v2"}]}
        changed = await store.patch(SERVING, key, {"spec": spec})
        assert changed["metadata"]["generation"] == 2
        assert changed["status"] == {"phase": "Ready"}

    async def test_status_and_the_rest_are_written_apart(self, store: Store, namespace: str) -> None:
        key = Key(namespace, "a")
        await store.create(SERVING, serving(namespace, "a"))
        patch = {"metadata": {"labels": {"x": "y"}}, "status": {"phase": "Ready"}}
        assert "status" not in await store.patch(SERVING, key, patch)
        status = await store.patch(SERVING, key, {"spec": None, **patch}, subresource="status")
        assert status["status"] == {"phase": "Ready"}
        assert status["spec"]["predictors"]

    async def test_a_write_that_changes_nothing_moves_nothing(self, store: Store, namespace: str) -> None:
        created = await store.create(SERVING, serving(namespace, "a"))
        assert await store.patch(SERVING, Key(namespace, "a"), {"metadata": {"labels": None}}) == created

    async def test_compare_and_swap(self, store: Store, namespace: str) -> None:
        key = Key(namespace, "a")
        first = await store.create(MODEL_JOB, job(namespace, "a"))
        version = first["metadata"]["resourceVersion"]
        patch = {"metadata": {"resourceVersion": version, "labels": {"n": "1"}}}
        await store.patch(MODEL_JOB, key, patch)
        with pytest.raises(ConflictError):
            await store.patch(MODEL_JOB, key, {"metadata": {"resourceVersion": version, "labels": {"n": "2"}}})
        with pytest.raises(ConflictError):
            await store.patch(MODEL_JOB, key, {"metadata": {"uid": str(uuid.uuid4())}})
        with pytest.raises(ConflictError):
            await store.delete(MODEL_JOB, key, resource_version=version)

    async def test_no_increment_is_lost(self, store: Store, namespace: str) -> None:
        key = Key(namespace, "counter")
        await store.create(MODEL_JOB, job(namespace, "counter", annotations={"n": "0"}))
        succeeded = 0

        async def increment() -> None:
            nonlocal succeeded
            for _ in range(10):
                obj = await store.get(MODEL_JOB, key)
                number = int(obj["metadata"]["annotations"]["n"]) + 1
                version = obj["metadata"]["resourceVersion"]
                try:
                    await store.patch(
                        MODEL_JOB, key, {"metadata": {"resourceVersion": version, "annotations": {"n": str(number)}}}
                    )
                except ConflictError:
                    continue
                succeeded += 1

        await asyncio.gather(*(increment() for _ in range(8)))
        final = await store.get(MODEL_JOB, key)
        assert int(final["metadata"]["annotations"]["n"]) == succeeded > 0

    async def test_a_kind_stays_what_it_is(self, store: Store, namespace: str) -> None:
        await store.create(MODEL_JOB, job(namespace, "a"))
        with pytest.raises(KleverError):
            await store.patch(MODEL_JOB, Key(namespace, "a"), {"kind": "Serving"})

    async def test_an_immutable_spec(self, store: Store, namespace: str) -> None:
        await store.create(MODEL_JOB, job(namespace, "a"))
        with pytest.raises(InvalidError, match="immutable"):
            await store.patch(MODEL_JOB, Key(namespace, "a"), {"spec": {"model": "team/other:v1"}})

    # Apply

    async def test_a_dry_run_is_checked_and_changes_nothing(self, store: Store, namespace: str) -> None:
        key = Key(namespace, "a")
        planned = await store.create(SERVING, serving(namespace, "a"), dry_run=True)
        assert planned["spec"]["replicas"] == 1
        with pytest.raises(InvalidError):
            await store.create(SERVING, serving(namespace, "a", replicas=-1), dry_run=True)
        with pytest.raises(NotFoundError):
            await store.get(SERVING, key)
        assert (await store.apply(SERVING, serving(namespace, "a"), dry_run=True))["metadata"]["name"] == "a"
        created = await store.create(SERVING, serving(namespace, "a", replicas=3))
        patched = await store.patch(SERVING, key, {"spec": {"replicas": 2}}, dry_run=True)
        assert patched["spec"]["replicas"] == 2
        applied = await store.apply(SERVING, serving(namespace, "a"), dry_run=True)
        assert "replicas" not in applied["spec"]["predictors"][0]
        with pytest.raises(ConflictError):
            await store.delete(SERVING, key, uid="another", dry_run=True)
        await store.delete(SERVING, key, dry_run=True)
        assert await store.get(SERVING, key) == created

    async def test_apply_creates_and_then_changes_nothing(self, store: Store, namespace: str) -> None:
        created = await store.apply(SERVING, serving(namespace, "a"))
        assert await store.apply(SERVING, serving(namespace, "a")) == created

    async def test_apply_resets_omitted_fields_to_their_defaults(self, store: Store, namespace: str) -> None:
        await store.apply(SERVING, serving(namespace, "a", replicas=3))
        applied = await store.apply(SERVING, serving(namespace, "a"))
        assert "replicas" not in applied["spec"]["predictors"][0]

    async def test_apply_says_all_of_the_spec_whoever_of_us_wrote_it(self, store: Store, namespace: str) -> None:
        await store.create(SERVING, serving(namespace, "a", replicas=3))
        canary = {"name": "canary", "model": "team/m:v2", "traffic": 20}
        main = {"name": "main", "model": "team/m:v1", "traffic": 80, "replicas": 3}
        await store.patch(SERVING, Key(namespace, "a"), {"spec": {"predictors": [main, canary]}})
        applied = await store.apply(SERVING, serving(namespace, "a"))
        assert [(p["name"], p.get("replicas")) for p in applied["spec"]["predictors"]] == [("main", None)]

    async def test_apply_owns_the_whole_spec_before_and_after_another_tool(
        self, store: Store, namespace: str, others: Others
    ) -> None:
        both = serving(namespace, "a", traffic=80, replicas=3)
        both["metadata"]["labels"] = {"theirs": "1"}
        both["spec"]["predictors"].append({"name": "canary", "model": "team/m:v2", "traffic": 20})
        both["spec"] |= {"replicas": 2, "revisionHistoryLimit": 3}
        for _ in range(2):
            await others(both)
            assert len((await store.get(SERVING, Key(namespace, "a")))["spec"]["predictors"]) == 2
            applied = await store.apply(SERVING, serving(namespace, "a"))
            assert applied["spec"] == {
                "predictors": [{"name": "main", "model": "team/m:v1"}], "replicas": 1, "revisionHistoryLimit": 10
            }  # fmt: skip
            assert applied["metadata"]["labels"] == {"theirs": "1"}
            assert await store.apply(SERVING, serving(namespace, "a")) == applied

    async def test_apply_merges_labels(self, store: Store, namespace: str) -> None:
        obj = serving(namespace, "a")
        obj["metadata"]["labels"] = {"mine": "1"}
        await store.apply(SERVING, obj)
        await store.patch(SERVING, Key(namespace, "a"), {"metadata": {"labels": {"theirs": "2"}}})
        obj["metadata"]["labels"] = {"new": "3"}
        assert (await store.apply(SERVING, obj))["metadata"]["labels"] == {"theirs": "2", "new": "3"}

    async def test_the_last_writer_is_known_unless_it_is_klever(
        self, store: Store, namespace: str, others: Others, other_name: str
    ) -> None:
        key = Key(namespace, "a")
        await store.apply(SERVING, serving(namespace, "a"))
        assert await store.last_writer(SERVING, key) == ""
        await others(serving(namespace, "a", replicas=2))
        assert await store.last_writer(SERVING, key) == other_name
        await store.apply(SERVING, serving(namespace, "a", replicas=3))
        await store.patch(SERVING, key, {"status": {"phase": "Ready"}}, subresource="status")
        assert await store.last_writer(SERVING, key) == ""

    # Deleting

    async def test_delete(self, store: Store, namespace: str) -> None:
        await store.create(MODEL_JOB, job(namespace, "a"))
        await store.delete(MODEL_JOB, Key(namespace, "a"))
        with pytest.raises(NotFoundError):
            await store.get(MODEL_JOB, Key(namespace, "a"))
        with pytest.raises(NotFoundError):
            await store.delete(MODEL_JOB, Key(namespace, "a"))

    async def test_finalizers_hold_an_object(self, store: Store, namespace: str) -> None:
        key = Key(namespace, "a")
        await store.create(SERVING, serving(namespace, "a"))
        await store.patch(SERVING, key, {"metadata": {"finalizers": ["kleveross.io/test"]}})
        await store.delete(SERVING, key)
        held = await store.get(SERVING, key)
        assert held["metadata"]["deletionTimestamp"]
        assert held["metadata"]["generation"] == 2
        with pytest.raises(KleverError):
            await store.patch(SERVING, key, {"metadata": {"finalizers": ["kleveross.io/test", "kleveross.io/more"]}})
        await store.patch(SERVING, key, {"metadata": {"finalizers": None}})
        await gone(store, SERVING, key)

    async def test_dependents_go_after_their_last_owner(self, store: Store, namespace: str) -> None:
        owners = [await store.create(SERVING, serving(namespace, name)) for name in ("a", "b")]
        references = [owner_reference(o) for o in owners]
        await store.create(MODEL_JOB, job(namespace, "child", ownerReferences=references))
        await store.create(MODEL_JOB, job(namespace, "only", ownerReferences=references[:1]))
        await store.delete(SERVING, Key(namespace, "a"))
        await gone(store, MODEL_JOB, Key(namespace, "only"))
        assert await store.get(MODEL_JOB, Key(namespace, "child"))
        await store.delete(SERVING, Key(namespace, "b"))
        await gone(store, MODEL_JOB, Key(namespace, "child"))

    async def test_an_owner_that_is_named_twice_is_one(self, store: Store, namespace: str) -> None:
        owner = owner_reference(await store.create(SERVING, serving(namespace, "a")))
        created = await store.create(MODEL_JOB, job(namespace, "child", ownerReferences=[owner, owner]))
        assert created["metadata"]["ownerReferences"] == [owner]

    async def test_a_dependent_of_what_never_was_goes(self, store: Store, namespace: str) -> None:
        owner = await store.create(SERVING, serving(namespace, "a"))
        other = owner_reference(owner) | {"uid": str(uuid.uuid4())}
        unknown = other | {"apiVersion": "example.com/v1", "kind": "Nobody", "name": "b"}
        await store.create(MODEL_JOB, job(namespace, "held", ownerReferences=[owner_reference(owner)]))
        await store.create(MODEL_JOB, job(namespace, "unknown", ownerReferences=[unknown]))
        await store.create(MODEL_JOB, job(namespace, "orphan", ownerReferences=[other]))
        await gone(store, MODEL_JOB, Key(namespace, "orphan"))
        await store.patch(MODEL_JOB, Key(namespace, "held"), {"metadata": {"ownerReferences": [other]}})
        await gone(store, MODEL_JOB, Key(namespace, "held"))
        assert await store.get(MODEL_JOB, Key(namespace, "unknown"))

    async def test_deleting_a_namespace_deletes_what_is_in_it(self, store: Store, namespace: str) -> None:
        await store.create(MODEL_JOB, job(namespace, "a"))
        await store.create(SERVING, serving(namespace, "held"))
        await store.patch(SERVING, Key(namespace, "held"), {"metadata": {"finalizers": ["kleveross.io/test"]}})
        await store.delete(NAMESPACE, Key("", namespace))
        await gone(store, MODEL_JOB, Key(namespace, "a"))
        with pytest.raises(PermissionDeniedError):
            await store.create(MODEL_JOB, job(namespace, "late"))
        await store.patch(SERVING, Key(namespace, "held"), {"metadata": {"finalizers": None}})
        await gone(store, NAMESPACE, Key("", namespace))

    # Listing

    async def test_lists_are_ordered_and_paged(self, store: Store, namespace: str) -> None:
        for name in ("c", "a", "e", "b", "d"):
            await store.create(MODEL_JOB, job(namespace, name))
        names: list[str] = []
        token = ""
        while True:
            page = await store.list(MODEL_JOB, namespace, limit=2, token=token)
            names += [o["metadata"]["name"] for o in page.items]
            if not names[2:]:
                await store.create(MODEL_JOB, job(namespace, "late"))
            token = page.next_token
            if not token:
                break
        assert names == ["a", "b", "c", "d", "e"]

    async def test_selectors(self, store: Store, namespace: str) -> None:
        await store.create(MODEL_JOB, job(namespace, "a", labels={"team": "vision", "stage": "prod"}))
        await store.create(MODEL_JOB, job(namespace, "b", labels={"team": "speech"}))

        async def names(**selector: Any) -> list[str]:
            page = await store.list(MODEL_JOB, namespace, **selector)
            return [o["metadata"]["name"] for o in page.items]

        assert await names(labels="team=vision") == ["a"]
        assert await names(labels="team in (vision,speech),!stage") == ["b"]
        assert await names(labels="team!=vision") == ["b"]
        assert await names(fields="metadata.name=b") == ["b"]
        with pytest.raises(KleverError):
            await names(labels="team in vision")

    # Watching

    async def test_a_watch_tells_what_is_there_and_what_changes(self, store: Store, namespace: str) -> None:
        await store.create(MODEL_JOB, job(namespace, "a"))
        async with watching(store.watch(MODEL_JOB, namespace)) as watch:
            assert await self.next(watch) == ("ADDED", "a")
            await store.create(MODEL_JOB, job(namespace, "b"))
            await store.patch(MODEL_JOB, Key(namespace, "b"), {"metadata": {"labels": {"x": "y"}}})
            await store.delete(MODEL_JOB, Key(namespace, "a"))
            assert [await self.next(watch) for _ in range(3)] == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]

    async def test_a_watch_resumes_without_a_gap(self, store: Store, namespace: str) -> None:
        page = await store.list(MODEL_JOB, namespace)
        for name in ("a", "b", "c"):
            await store.create(MODEL_JOB, job(namespace, name))
        async with watching(store.watch(MODEL_JOB, namespace, resource_version=page.resource_version)) as watch:
            event = await anext(watch)
        assert event.object["metadata"]["name"] == "a"
        async with watching(store.watch(MODEL_JOB, namespace, resource_version=event.resource_version)) as again:
            assert [await self.next(again) for _ in range(2)] == [("ADDED", "b"), ("ADDED", "c")]

    async def test_objects_enter_and_leave_a_selection(self, store: Store, namespace: str) -> None:
        page = await store.list(MODEL_JOB, namespace)
        key = Key(namespace, "a")
        selected = store.watch(MODEL_JOB, namespace, labels="on=1", resource_version=page.resource_version)
        async with watching(selected) as watch:
            await store.create(MODEL_JOB, job(namespace, "a"))
            await store.patch(MODEL_JOB, key, {"metadata": {"labels": {"on": "1"}}})
            await store.patch(MODEL_JOB, key, {"metadata": {"labels": {"on": "0"}}})
            assert [await self.next(watch) for _ in range(2)] == [("ADDED", "a"), ("DELETED", "a")]

    async def test_a_version_that_was_never_given_is_refused(self, store: Store, namespace: str) -> None:
        with pytest.raises((InvalidError, ExpiredError)):
            await anext(store.watch(MODEL_JOB, namespace, resource_version="not-a-version"))

    async def test_events_are_objects(self, store: Store, namespace: str) -> None:
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": namespace, "name": "a.1"},
            "involvedObject": {"kind": "Serving", "name": "a", "namespace": namespace},
            "reason": "Ready",
            "message": "it is",
            "type": "Normal",
        }
        await store.create(EVENT, event)
        page = await store.list(EVENT, namespace, fields="involvedObject.name=a,involvedObject.kind=Serving")
        assert [e["reason"] for e in page.items] == ["Ready"]

    async def test_an_object_with_the_longest_name_has_events(self, store: Store, namespace: str) -> None:
        name = f"{'a' * 235}.{'b' * 17}"
        created = await store.create(MODEL_JOB, job(namespace, name))
        recorder = EventRecorder(store, "test")
        for reason in ("Once", "Once", "Other"):
            await recorder.record(created, "Normal", reason, "it was")
        page = await store.list(EVENT, namespace, fields=f"involvedObject.name={name}")
        assert sorted((e["reason"], e["count"]) for e in page.items) == [("Once", 2), ("Other", 1)]

    async def test_an_event_that_is_told_again_is_counted_and_not_read(self, store: Store, namespace: str) -> None:
        created = await store.create(MODEL_JOB, job(namespace, "a"))
        writer: Any = Writer(store)
        recorder = EventRecorder(writer, "test")
        for _ in range(3):
            await recorder.record(created, "Normal", "Often", "it was")
        (event,) = (await store.list(EVENT, namespace)).items
        assert event["count"] == 3
        await store.delete(EVENT, Key(namespace, event["metadata"]["name"]))  # its time is over
        for _ in range(2):
            await recorder.record(created, "Normal", "Often", "it was")
        (event,) = (await store.list(EVENT, namespace)).items
        assert event["count"] == 2

    async def test_an_event_that_was_told_long_ago_is_told_anew(self, store: Store, namespace: str) -> None:
        created = await store.create(MODEL_JOB, job(namespace, "a"))
        recorder = EventRecorder(store, "test", remembered=1)
        for reason in ("One", "Two", "One", "One"):
            await recorder.record(created, "Normal", reason, "it was")
        told = (await store.list(EVENT, namespace)).items
        assert sorted((e["reason"], e["count"]) for e in told) == [("One", 1), ("One", 2), ("Two", 1)]

    async def test_callers_may_change_returned_objects(self, store: Store, namespace: str) -> None:
        obj = job(namespace, "a")
        created = await store.create(MODEL_JOB, obj)
        created["spec"]["model"] = obj["spec"]["model"] = "changed"
        assert (await store.get(MODEL_JOB, Key(namespace, "a")))["spec"]["model"] == "team/m:v1"

    @staticmethod
    async def next(watch: AsyncIterator[WatchEvent]) -> tuple[str, str]:
        async with asyncio.timeout(SECONDS):
            event = await anext(watch)
        return event.type, event.object["metadata"]["name"]
