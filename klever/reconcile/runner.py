"""Runs one controller: sources name keys, workers reconcile them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from klever.api.kinds import Kind, Object
from klever.backoff import Backoff
from klever.errors import ExpiredError, KleverError
from klever.reconcile.queue import WorkQueue
from klever.store import Key, Store, WatchEvent

__all__ = [
    "Controller",
    "ReconcileMetrics",
    "Related",
    "Result",
    "Source",
    "change_source",
    "object_key",
    "object_source",
]
log = logging.getLogger(__name__)

_LIVED_SECONDS = 5.0
"""A source that ran this long was successful: its earlier failures are forgotten."""

Source = Callable[[Callable[[Key], None]], Awaitable[None]]
"""Runs until cancelled, and calls its argument with each key to reconcile."""


@dataclass(frozen=True, slots=True)
class Result:
    """Requests another reconcile after `requeue_after` seconds; None for none."""

    requeue_after: float | None = None


class ReconcileMetrics:
    """Counts and latencies by controller."""

    def __init__(self, registry: CollectorRegistry) -> None:
        label = ["controller"]
        self.total = Counter("klever_reconcile", "Reconciles", [*label, "result"], registry=registry)
        self.seconds = Histogram("klever_reconcile_seconds", "Time of a reconcile", label, registry=registry)
        self.depth = Gauge("klever_workqueue_depth", "Keys that are waiting", label, registry=registry)
        self.retries = Counter("klever_workqueue_retries", "Keys retried after a failure", label, registry=registry)


class Controller:
    """One reconcile function with its queue, sources and workers."""

    def __init__(
        self,
        name: str,
        reconcile: Callable[[Key], Awaitable[Result]],
        sources: Sequence[Source],
        metrics: ReconcileMetrics,
        *,
        workers: int = 4,
        deadline: float = 120.0,
        longest_backoff: float = 1000.0,
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._sources = sources
        self._workers = workers
        self._deadline = deadline
        self._queue: WorkQueue[Key] = WorkQueue(longest=longest_backoff)
        self._metrics = metrics
        metrics.retries.labels(name)  # exported from the start, at 0
        metrics.depth.labels(name).set_function(lambda: len(self._queue))

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for source in self._sources:
                    group.create_task(self._feed(source))
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            self._queue.close()

    async def _feed(self, source: Source) -> None:
        backoff = Backoff(0.1, 30.0)
        while True:
            began = time.monotonic()
            try:
                await source(self._queue.add)
            except KleverError as error:
                if time.monotonic() - began > _LIVED_SECONDS:
                    backoff.reset()
                delay = backoff.next(error)
                log.warning("%s: a source failed, next attempt in %.1f s: %s", self.name, delay, error)
                await asyncio.sleep(delay)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._once(key)
            finally:
                self._queue.done(key)

    async def _once(self, key: Key) -> None:
        started = time.perf_counter()
        outcome = "success"
        try:
            async with asyncio.timeout(self._deadline):
                result = await self._reconcile(key)
        except Exception as error:  # noqa: BLE001 - one bad key must not end the controller; it is logged and retried
            outcome = "error"
            self._failed(key, error)
        else:
            self._queue.forget(key)
            if result.requeue_after is not None:
                self._queue.add_after(key, result.requeue_after)
        self._metrics.total.labels(self.name, outcome).inc()
        self._metrics.seconds.labels(self.name).observe(time.perf_counter() - started)

    def _failed(self, key: Key, error: Exception) -> None:
        delay = self._queue.retry(key)
        self._metrics.retries.labels(self.name).inc()
        expected = isinstance(error, KleverError | TimeoutError)
        what = str(error) or type(error).__name__
        log.warning(
            "%s %s: %s; next attempt in %.3f s", self.name, key, what, delay, exc_info=None if expected else error
        )


Related = Callable[[WatchEvent], AsyncIterator[Key]]
"""Yields the keys to reconcile after a change of another object."""


def object_source(store: Store, kind: Kind, related: Related | None = None) -> Source:
    """Return a source that names every object of a kind once, and again whenever it changes.

    With `related`, the source names the keys from that function instead.
    """

    async def source(add: Callable[[Key], None]) -> None:
        version = ""
        while True:
            try:
                async for event in store.watch(kind, resource_version=version, bookmarks=True):
                    version = event.resource_version
                    if event.type == "BOOKMARK":
                        continue
                    if related is None:
                        add(object_key(event.object))
                        continue
                    async for key in related(event):
                        add(key)
            except ExpiredError:
                version = ""

    return source


def change_source(watch: Callable[[], AsyncIterator[Key]]) -> Source:
    """A source of keys from outside the store."""

    async def source(add: Callable[[Key], None]) -> None:
        async for key in watch():
            add(key)

    return source


def object_key(obj: Object) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])
