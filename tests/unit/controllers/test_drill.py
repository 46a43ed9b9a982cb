"""The rollout drill: whatever happens in whatever order, what was Ready once serves, and no field is lost."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from klever.api.kinds import SERVING
from klever.backends import Instance, InstancePhase, PredictorWorkload
from klever.catalog.catalogue import Version
from klever.client.rollout import Wish, changed_predictors
from klever.controllers.inspections import record_inspection
from klever.controllers.pushes import ensure_namespace
from klever.errors import FailedPreconditionError, NotFoundError
from klever.formats import Trust
from klever.inspection import VERSION
from klever.oci.digest import Digest
from klever.server.authored import AuthoredObjects
from klever.server.servings import ServingHandlers
from klever.store import Key
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission
from klever.v1alpha1 import serving_service_pb2 as pb
from klever.v1alpha1.serving_pb2 import Serving
from tests.drill.steps import SETTINGS, Action, Step, spec_of, steps
from tests.unit.controllers.registry import READ, Registry
from tests.unit.controllers.test_serving import Nothing, reconciler

KEY = Key("team", "digits")
SEEDS = range(10)
"""Each is another sequence of steps."""
STEPS = 25


class Machine(Nothing):
    """A backend whose replicas become Ready one look after they start, and a router. A lost machine loses both."""

    def __init__(self) -> None:
        self.wanted: tuple[PredictorWorkload, ...] = ()
        self.kept: frozenset[str] = frozenset()
        self.replicas: dict[tuple[str, int], InstancePhase] = {}
        self.route: Any = None

    async def ensure(self, workload: Any) -> None:
        self.wanted, self.kept = workload.predictors, workload.keep
        named = {(w.id, index) for w in self.wanted for index in range(w.replicas)}
        left = {slot: phase for slot, phase in self.replicas.items() if slot in named or slot[0] in self.kept}
        self.replicas = dict.fromkeys(named, InstancePhase.STARTING) | left

    async def publish(self, route: Any) -> None:
        self.route = route

    async def drain(self, key: object, workload: str) -> None: ...

    async def routes(self) -> Any:
        return (self.route,) if self.route else ()

    async def observe(self, key: object) -> Any:
        return tuple(
            Instance(name, "", workload, phase, http=f"{workload}:{index}", index=index, trust=Trust.DATA)
            for (workload, index), phase in sorted(self.replicas.items())
            for name in (f"{workload}-{index}",)
        )

    def crash(self, chance: random.Random) -> None:
        """Lose one of several Ready replicas of a workload."""
        ready = [slot for slot, phase in self.replicas.items() if phase is InstancePhase.READY]
        several = [slot for slot in ready if [other[0] for other in ready].count(slot[0]) > 1]
        if several:
            self.replicas[chance.choice(sorted(several))] = InstancePhase.BACK_OFF

    def start(self) -> None:
        self.replicas = dict.fromkeys(self.replicas, InstancePhase.READY)

    def answers(self) -> bool:
        """Say whether every request is answered: the shares sum to 100, and each is reached."""
        shared = [t for t in self.route.targets if t.weight > 0] if self.route else []
        reached = all(
            any(self.replicas.get(_slot(address)) is InstancePhase.READY for address in target.http)
            for target in shared
        )
        return bool(shared) and reached and sum(t.weight for t in shared) == 100


def _slot(address: str) -> tuple[str, int]:
    workload, _, index = address.partition(":")
    return workload, int(index)


class Models(Registry):
    """A registry of three tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = {f"v{number}": self.by_digest[self.push(f"v{number}", signature=READ)] for number in (1, 2, 3)}

    async def resolve(self, reference: Any) -> Version:
        self.version = self.tags.get(reference.tag)
        return await super().resolve(reference)


class Drill:
    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.models = Models()
        self.machine = Machine()
        self.down = True  # nothing runs yet, as after the machine was lost
        nothing: Any = None
        self.api = ServingHandlers(AuthoredObjects[Serving](store, SERVING), nothing, nothing)
        self.controller = reconciler(store, self.models, self.machine)

    async def settle(self) -> None:
        """Let the controller work, and replicas start. Once it was Ready, every state between answers, too."""
        for _ in range(6):
            await self.controller.reconcile(KEY)
            if await self.ready_once() and self.machine.replicas and not self.down:
                assert self.machine.answers(), self.machine.route
            self.machine.start()
            self.down = False

    async def ready_once(self) -> bool:
        return bool((await self.store.get(SERVING, KEY)).get("status", {}).get("revision"))

    async def step(self, step: Step) -> None:
        actions = {
            Action.DEPLOY: self.deploy,
            Action.BAD_TAG: self.deploy,
            Action.CANARY: self.canary,
            Action.PROMOTE: self.promote,
            Action.ROLLBACK: self.rollback,
            Action.CRASH: self.crash,
            Action.KILL: self.kill,
            Action.RESTART: self.restart,
        }
        with suppress(FailedPreconditionError, NotFoundError):  # no canary, or no earlier revision
            await actions[step.action](step)
        await self.settle()

    async def wish(self, wish: Wish) -> None:
        serving = await self.store.get(SERVING, KEY)
        predictors = changed_predictors(serving, wish)
        await self.store.patch(SERVING, KEY, {"spec": {"predictors": predictors}})

    async def deploy(self, step: Step) -> None:
        await self.wish(Wish(step.model, ""))

    async def canary(self, step: Step) -> None:
        await self.wish(Wish(step.model, "", canary=step.share))

    async def promote(self, _: Step) -> None:
        await self.api.promote_serving(pb.PromoteServingRequest(name=KEY.name, namespace=KEY.namespace))

    async def rollback(self, _: Step) -> None:
        await self.api.rollback_serving(pb.RollbackServingRequest(name=KEY.name, namespace=KEY.namespace))

    async def crash(self, step: Step) -> None:
        self.machine.crash(step.pick)

    async def kill(self, _: Step) -> None:
        """Lose the control plane: what runs goes on."""
        self.controller = reconciler(self.store, self.models, self.machine)

    async def restart(self, step: Step) -> None:
        """Lose everything but the store."""
        self.machine = Machine()
        self.down = True
        await self.kill(step)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "klever.db", SchemaAdmission())
    await ensure_namespace(store, KEY.namespace)
    await record_inspection(
        store, {"content": str(Digest.of(b"content")), "inspectorVersion": VERSION}, datetime.now(UTC)
    )
    yield store
    await store.close()


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_request_fails_and_no_field_is_lost(store: SqliteStore, seed: int) -> None:
    drill = Drill(store)
    await store.create(SERVING, {
        "apiVersion": SERVING.api_version,
        "kind": SERVING.kind,
        "metadata": {"namespace": KEY.namespace, "name": KEY.name},
        "spec": spec_of(seed, {}),
    })  # fmt: skip
    await drill.settle()
    assert await drill.ready_once()
    for step in steps(seed, STEPS):
        await drill.step(step)
        serving = await store.get(SERVING, KEY)
        (found,) = [p for p in serving["spec"]["predictors"] if p["name"] == "main"]
        assert {field: found[field] for field in SETTINGS} == SETTINGS
        assert drill.machine.answers()
