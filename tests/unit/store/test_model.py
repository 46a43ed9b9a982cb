"""The embedded store against a simple model of its semantics, in whatever order Hypothesis thinks of."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from klever.api.kinds import MODEL_JOB, NAMESPACE, SERVING, Kind, Object
from klever.errors import KleverError, UnavailableError
from klever.store import Key, Page, WatchEvent
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from tests.unit.store.model import Address, Model, Spec, Thing, make_spec, owner_reference, read_thing

pytestmark = pytest.mark.slow

T = TypeVar("T")

SECONDS = 2.0
ROUNDS = 1_000
KINDS = (SERVING, MODEL_JOB)
SELECTED = "on=1"

addresses = st.builds(Address, st.sampled_from(KINDS), st.sampled_from(["m", "n"]), st.sampled_from(["a", "b", "c"]))
labels = st.dictionaries(st.sampled_from(["on", "team"]), st.sampled_from(["0", "1"]))
label_patches = st.dictionaries(st.sampled_from(["on", "team"]), st.sampled_from(["0", "1", None]))
finalizers = st.sampled_from([[], [], ["test/a"], ["test/a", "test/b"]])
owners = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b"]), st.booleans()), max_size=2)
specs = st.builds(Spec, st.integers(1, 2), st.integers(1, 2))
swaps = st.sampled_from(["", "", "", "current", "stale"])


class Watcher:
    """Follows a watch and keeps what it tells, checked for order and sense."""

    def __init__(self, store: SqliteStore, kind: Kind, namespace: str = "", labels: str = "") -> None:
        self.kind = kind
        self.namespace = namespace
        self.labels = labels
        self.events: list[WatchEvent] = []
        """From the bookmark on that follows what was there first."""
        self.state: dict[Key, Object] = {}
        self.task = asyncio.create_task(self._follow(store))

    def watch(self, store: SqliteStore, version: str = "") -> AsyncIterator[WatchEvent]:
        return store.watch(
            self.kind, self.namespace, labels=self.labels, resource_version=version, bookmarks=not version
        )

    async def list(self, store: SqliteStore) -> Page:
        return await store.list(self.kind, self.namespace, labels=self.labels)

    async def _follow(self, store: SqliteStore) -> None:
        async for event in self.watch(store):
            if event.type == "BOOKMARK":
                self.events = [event]
                continue
            key = Key(event.object["metadata"]["namespace"], event.object["metadata"]["name"])
            assert (event.type == "ADDED") is (key not in self.state), event
            if event.type == "DELETED":
                del self.state[key]
            else:
                self.state[key] = event.object
            self.events.append(event)


@settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink takes minutes: add Phase.shrink at need
)
class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.model = Model()
        self.last = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.run(self._open())
        for name in ("m", "n"):
            self.create_namespace(name)

    async def _open(self) -> None:
        self.store = await SqliteStore.open(Path(self.directory.name) / "klever.db", SchemaAdmission())
        self.watchers = [
            *(Watcher(self.store, kind) for kind in KINDS),
            Watcher(self.store, SERVING, labels=SELECTED),
            Watcher(self.store, MODEL_JOB, namespace="n"),
        ]

    async def _close(self) -> None:
        await self.store.close()
        ends = await asyncio.gather(*(w.task for w in self.watchers), return_exceptions=True)
        assert all(isinstance(end, UnavailableError) for end in ends), ends

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self._close())
        self.runner.close()
        self.directory.cleanup()

    # Writing

    def _both(
        self, address: Address, call: Coroutine[Any, Any, Object | None], in_model: Callable[[], bool | None]
    ) -> None:
        """Do it in the model, which says whether anything changes, and in the store: they must agree."""
        refused: type[KleverError] | None = None
        changed: bool | None = None
        try:
            changed = in_model()
        except KleverError as error:
            refused = type(error)
        try:
            answer = self.run(call)
        except KleverError as error:
            if type(error) is not refused:
                raise
            return
        assert refused is None
        if answer is not None:
            self._check(self.model.things.get(address), read_thing(answer), bool(changed))

    def _check(self, thing: Thing | None, answer: Thing, changed: bool) -> None:
        if thing is not None:  # else it went with the write
            thing.uid = thing.uid or answer.uid
            assert answer.shown == thing.shown
            assert (answer.version != thing.version) is changed
            thing.version = answer.version
        if changed:
            assert int(answer.version) > self.last
            self.last = int(answer.version)

    def _version(self, address: Address, swap: str) -> str:
        thing = self.model.things.get(address)
        if not swap or thing is None:
            return "1" if swap else ""
        return thing.version if swap == "current" else str(int(thing.version) - 1)

    @rule(address=addresses, spec=specs, labels=labels, finalizers=finalizers, owners=owners)
    def create(
        self,
        address: Address,
        spec: Spec,
        labels: dict[str, str],
        finalizers: list[str],
        owners: list[tuple[Kind, str, bool]],
    ) -> None:
        spec = _fitting(address, spec)
        references = [r for owner in owners if (r := self._reference(address, *owner))]
        thing = Thing(spec, labels, finalizers, references)
        obj = _object(address, spec, labels=labels, finalizers=finalizers, ownerReferences=references)
        obj["status"] = {"phase": "Failed"}  # which is not for creators to say

        self._both(
            address,
            self.store.create(address.kind, obj),
            lambda: self.model.create(address, thing) is thing,
        )

    def _reference(self, address: Address, kind: Kind, name: str, there: bool) -> Object | None:
        if not there:
            return owner_reference(kind, name, str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {name}")))
        owner = self.model.things.get(Address(kind, address.namespace, name))
        return owner_reference(kind, name, owner.uid) if owner else None

    @rule(
        address=addresses,
        spec=st.none() | specs,
        labels=label_patches,
        finalizers=st.none() | finalizers,
        swap=swaps,
    )
    def patch(
        self,
        address: Address,
        spec: Spec | None,
        labels: dict[str, str | None],
        finalizers: list[str] | None,
        swap: str,
    ) -> None:
        version = self._version(address, swap)
        metadata: Object = {"labels": labels, "resourceVersion": version or None}
        patch: Object = {"metadata": metadata, "status": {"phase": "Failed"}}
        if spec is not None:
            spec = _fitting(address, spec)
            patch["spec"] = make_spec(address.kind, spec)
        if finalizers is not None:
            metadata["finalizers"] = finalizers
        self._both(
            address,
            self.store.patch(address.kind, _key(address), patch),
            lambda: self.model.change(address, spec=spec, labels=labels, finalizers=finalizers, version=version),
        )

    @rule(address=addresses, phase=st.sampled_from(["Pending", "Failed"]), swap=swaps)
    def patch_status(self, address: Address, phase: str, swap: str) -> None:
        version = self._version(address, swap)
        patch = {"metadata": {"labels": {"x": "y"}, "resourceVersion": version or None}, "status": {"phase": phase}}
        self._both(
            address,
            self.store.patch(address.kind, _key(address), patch, subresource="status"),
            lambda: self.model.set_phase(address, phase, version),
        )

    @rule(address=addresses, spec=specs, labels=labels)
    def apply(self, address: Address, spec: Spec, labels: dict[str, str]) -> None:
        spec = _fitting(address, spec)
        self._both(
            address,
            self.store.apply(address.kind, _object(address, spec, labels=labels)),
            lambda: self.model.apply(address, spec, labels),
        )

    @rule(address=addresses, swap=swaps)
    def delete(self, address: Address, swap: str) -> None:
        version = self._version(address, swap)

        self._both(
            address,
            self.store.delete(address.kind, _key(address), resource_version=version),
            lambda: self.model.delete(address, version),
        )
        self.model.collected.add(address)  # its mark came without an answer

    @rule(name=st.sampled_from(["m", "n"]))
    @precondition(lambda self: len(self.model.namespaces) < 2)
    def create_namespace(self, name: str) -> None:
        if name not in self.model.namespaces:
            self.model.namespaces[name] = False
            self.run(self.store.create(NAMESPACE, {"metadata": {"name": name}}))

    @rule()
    def delete_namespace(self) -> None:
        if "m" in self.model.namespaces:
            self.model.delete_namespace("m")
            self.run(self.store.delete(NAMESPACE, Key("", "m")))

    # Reading

    @rule(address=addresses)
    def get(self, address: Address) -> None:
        try:
            found = read_thing(self.run(self.store.get(address.kind, _key(address))))
        except KleverError:
            assert address not in self.model.things
        else:
            assert found == self._as_answered(address)

    @rule(kind=st.sampled_from(KINDS), namespace=st.sampled_from(["", "n"]), on=st.booleans(), limit=st.integers(1, 3))
    def list_in_pages(self, kind: Kind, namespace: str, on: bool, limit: int) -> None:
        wanted = sorted(
            _key(a)
            for a, thing in self.model.things.items()
            if a.kind == kind and namespace in ("", a.namespace) and (not on or thing.labels.get("on") == "1")
        )
        found, token, versions = [], "", set()
        while True:
            selection = SELECTED if on else ""
            page = self.run(self.store.list(kind, namespace, labels=selection, limit=limit, token=token))
            assert len(page.items) <= limit
            found += [Key(o["metadata"]["namespace"], o["metadata"]["name"]) for o in page.items]
            versions.add(page.resource_version)
            token = page.next_token
            if not token:
                break
            for address in list(self.model.things)[:1]:  # which no later page shows
                self.patch(address, None, {"on": "1"}, None, "")
        assert found == wanted
        assert len(versions) == 1

    @rule(which=st.integers(0, 3), back=st.integers(1, 10))
    def resume(self, which: int, back: int) -> None:
        told = self.watchers[which]
        if len(told.events) > back:
            self.run(self._resume(told, len(told.events) - back))

    async def _resume(self, told: Watcher, place: int) -> None:
        """A watch from an event on tells the same again."""
        watch = told.watch(self.store, told.events[place - 1].resource_version)
        for event in told.events[place:]:
            async with asyncio.timeout(SECONDS):
                again = await anext(watch)
                assert (again.type, again.object) == (event.type, event.object)

    @rule()
    def restart(self) -> None:
        self.run(self._close())
        self.run(self._open())

    @invariant()
    def agree(self) -> None:
        """What is stored, and what watches told, is what the model has."""
        if hasattr(self, "store"):
            self.model.collect()
            self.run(self._settle())

    async def _settle(self) -> None:
        for _ in range(ROUNDS):
            difference = await self._difference()
            if not difference or any(w.task.done() for w in self.watchers):
                break
            await asyncio.sleep(0.001)
        assert not difference
        self.model.collected.clear()

    async def _difference(self) -> str:
        """Say what differs; collection and watches take their time."""
        pages = {kind: await self.store.list(kind) for kind in (*KINDS, NAMESPACE)}
        namespaces = [o["metadata"]["name"] for o in pages.pop(NAMESPACE).items]
        if namespaces != sorted(self.model.namespaces):
            return f"namespaces {namespaces}, not {sorted(self.model.namespaces)}"
        found = {_address(kind, obj): read_thing(obj) for kind, page in pages.items() for obj in page.items}
        for address in self.model.collected & found.keys() & self.model.things.keys():
            self.model.things[address].version = found[address].version
        wanted = {address: self._as_answered(address) for address in self.model.things}
        if found != wanted:
            return f"stored {found}, not {wanted}"
        for watcher in self.watchers:
            page = await watcher.list(self.store)
            if list(page.items) != [watcher.state[key] for key in sorted(watcher.state)]:
                return f"watched {watcher.state}, not {list(page.items)}"
        return ""

    def _as_answered(self, address: Address) -> Thing:
        """Return the model's thing, less what no answer shows."""
        thing = self.model.things[address]
        return Thing(**{**vars(thing), "applied": None})


def _key(address: Address) -> Key:
    return Key(address.namespace, address.name)


def _address(kind: Kind, obj: Object) -> Address:
    return Address(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])


def _fitting(address: Address, spec: Spec) -> Spec:
    """A ModelJob has no replicas."""
    return Spec(spec.version) if address.kind == MODEL_JOB else spec


def _object(address: Address, spec: Spec, **metadata: Any) -> Object:
    return {
        "metadata": {"namespace": address.namespace, "name": address.name, **metadata},
        "spec": make_spec(address.kind, spec),
    }


TestStoreModel = StoreMachine.TestCase
