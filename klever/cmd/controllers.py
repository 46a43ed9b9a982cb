"""The controllers with their sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from klever.api.kinds import MODEL_JOB, SERVING
from klever.backends import Backend
from klever.controllers.modeljob import ModelJobReconciler
from klever.controllers.pushes import PushReconciler
from klever.controllers.serving import ServingReconciler
from klever.executors import Executor
from klever.reconcile.queue import Backoff
from klever.reconcile.runner import Controller, ReconcileMetrics, Result, Source, changes_of, key_of, objects_of
from klever.store import Key, Store

__all__ = ["run_controllers"]

_MAX_BACKOFF = 30.0
"""Seconds: on one machine a user waits for the next try."""


async def run_controllers(
    *,
    store: Store,
    jobs: ModelJobReconciler,
    servings: ServingReconciler,
    pushes: PushReconciler,
    executor: Executor,
    backend: Backend,
    metrics: ReconcileMetrics,
) -> None:
    """Run until cancelled."""
    controllers = (
        _controller("modeljob", jobs.reconcile, (objects_of(store, MODEL_JOB), _ended_tasks(executor)), metrics),
        _controller("serving", servings.reconcile, _serving_sources(store, backend), metrics),
        _controller("push", pushes.reconcile, (changes_of(pushes.watch),), metrics),
    )
    async with asyncio.TaskGroup() as group:
        for controller in controllers:
            group.create_task(controller.run(), name=f"controller {controller.name}")


def _controller(
    name: str, reconcile: Callable[[Key], Awaitable[Result]], sources: Iterable[Source], metrics: ReconcileMetrics
) -> Controller:
    return Controller(name, reconcile, tuple(sources), metrics, backoff=Backoff(maximum=_MAX_BACKOFF))


def _ended_tasks(executor: Executor) -> Source:
    async def keys() -> AsyncIterator[Key]:
        async for uid in executor.watch():
            state = await executor.get(uid)
            if state is not None:
                yield Key(state.namespace, state.name)

    return changes_of(keys)


def _serving_sources(store: Store, backend: Backend) -> tuple[Source, ...]:
    async def instances() -> AsyncIterator[Key]:
        for key in await backend.list():
            yield Key(key.namespace, key.name)
        async for key in backend.watch():
            yield Key(key.namespace, key.name)

    async def waiting() -> AsyncIterator[Key]:
        """A job that ends may be what a Serving of its namespace waits for."""
        async for event in store.watch(MODEL_JOB):
            if event.object.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                page = await store.list(SERVING, event.object["metadata"]["namespace"])
                for serving in page.items:
                    yield key_of(serving)

    return (objects_of(store, SERVING), changes_of(instances), changes_of(waiting))
