"""The control loops with their sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from klever.api.kinds import KINDS, MODEL_JOB, NAMESPACE, SERVING, Kind
from klever.backends import Backend
from klever.cmd.platform import Platform
from klever.controllers.collection import InspectionCollector
from klever.controllers.extraction import concerns
from klever.controllers.modeljob import ModelJobReconciler
from klever.controllers.pushes import PushReconciler
from klever.controllers.serving import ServingReconciler
from klever.controllers.serving.models import ModelResolver
from klever.errors import NotFoundError
from klever.executors import Executor
from klever.limits import Limits
from klever.reconcile.runner import (
    Controller,
    ReconcileMetrics,
    Related,
    Result,
    Source,
    change_source,
    object_key,
    object_source,
)
from klever.store import Key, Store, WatchEvent
from klever.store.events import EventRecorder

__all__ = ["CONTROLLERS", "ControlLoops", "Loop", "run_pushes", "task_changes"]

_MAX_BACKOFF = 30.0
"""The longest backoff in seconds. It is short, because a user waits for the next try."""
_WORKERS = 16
"""Workers of each loop: many, so that a few objects whose registry does not answer do not delay the others."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One controller: its reconcile, and what starts it besides changes of the kinds whose rows name it."""

    reconcile: Callable[[Key], Awaitable[Result]]
    sources: tuple[Source, ...] = ()
    related: Mapping[Kind, Related] = field(default_factory=dict)
    """Finds the keys to reconcile for a change of another kind."""


@dataclass(frozen=True, slots=True)
class ControlLoops:
    """Reconcile objects with their specs on `platform`: one loop for each row of `CONTROLLERS`."""

    store: Store
    platform: Platform
    resolver: ModelResolver
    metrics: ReconcileMetrics
    limits: Limits

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(InspectionCollector(self.store, self.platform.catalogue).run())
            for name, make in CONTROLLERS.items():
                loop = make(self)
                sources = (*_watches(name, self.store, loop.related), *loop.sources)
                group.create_task(_controller(name, loop.reconcile, sources, self.metrics).run())


def _modeljob(parts: ControlLoops) -> Loop:
    store, executor = parts.store, parts.platform.executor
    events = EventRecorder(store, "kleveross.io/modeljob")
    reconciler = ModelJobReconciler(store, executor, events, limits=parts.limits)
    return Loop(reconciler.reconcile, (task_changes(store, executor),))


def _serving(parts: ControlLoops) -> Loop:
    store, backend = parts.store, parts.platform.backend
    events = EventRecorder(store, "kleveross.io/serving")
    reconciler = ServingReconciler(store, parts.resolver, backend, parts.platform.router, events)
    related = {MODEL_JOB: partial(_waiting_servings, store), NAMESPACE: partial(_servings_of_project, store)}
    return Loop(reconciler.reconcile, (_instance_changes(backend),), related)


CONTROLLERS: Final[Mapping[str, Callable[[ControlLoops], Loop]]] = {"modeljob": _modeljob, "serving": _serving}
"""The table of controllers, by the names that the rows of `KINDS` use. To add one, write its function and its row."""


async def run_pushes(pushes: PushReconciler, metrics: ReconcileMetrics) -> None:
    """Run until cancelled."""
    await _controller("push", pushes.reconcile, (change_source(pushes.watch),), metrics).run()


def _controller(
    name: str, reconcile: Callable[[Key], Awaitable[Result]], sources: Iterable[Source], metrics: ReconcileMetrics
) -> Controller:
    return Controller(name, reconcile, tuple(sources), metrics, workers=_WORKERS, longest_backoff=_MAX_BACKOFF)


def task_changes(store: Store, executor: Executor) -> Source:
    """Yield jobs whose tasks changed, at first all that have tasks. End tasks whose job is gone or was recreated."""

    async def keys() -> AsyncIterator[Key]:
        async for uid in executor.watch():
            state = await executor.observe(uid)
            if state is None:
                continue
            key = Key(state.namespace, state.name)
            if await _uid(store, key) == uid:
                yield key
            else:  # a user removed the finalizer, or an older state of the cluster was restored
                await executor.remove(uid)

    return change_source(keys)


async def _uid(store: Store, key: Key) -> str:
    """Return the uid of a job; empty if it does not exist."""
    try:
        return str((await store.get(MODEL_JOB, key))["metadata"]["uid"])
    except NotFoundError:
        return ""


def _instance_changes(backend: Backend) -> Source:
    """Yield Servings whose replicas changed, at first all that have replicas."""

    async def keys() -> AsyncIterator[Key]:
        for key in await backend.list():
            yield Key(key.namespace, key.name)
        async for key in backend.watch():
            yield Key(key.namespace, key.name)

    return change_source(keys)


def _watches(controller: str, store: Store, related: Mapping[Kind, Related]) -> Iterator[Source]:
    """Yield a source for each kind whose row names the controller."""
    for kind in KINDS:
        if controller in kind.controllers:
            yield object_source(store, kind, related.get(kind))


async def _waiting_servings(store: Store, event: WatchEvent) -> AsyncIterator[Key]:
    """Yield all Servings when a job ends: any of them may wait for it. The start reconciles them anyway."""
    job = event.object
    if event.type == "MODIFIED" and job.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        for serving in (await store.list(SERVING)).items:
            if concerns(job, serving):
                yield object_key(serving)


async def _servings_of_project(store: Store, event: WatchEvent) -> AsyncIterator[Key]:
    """Yield the Servings of a project, which may run code only if the project allows it."""
    if event.type in ("ADDED", "MODIFIED"):
        for serving in (await store.list(SERVING, event.object["metadata"]["name"])).items:
            yield object_key(serving)
