"""Pushed versions: each is inspected, and its signature read where it can be, by a job of its own.

A key is (project, `MODEL:TAG`). Notifications name keys at once; every version is named again at each start, so that a
lost notification heals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from klever.api.kinds import NAMESPACE, Object
from klever.api.text import parse_time
from klever.catalog.catalogue import Version
from klever.catalog.listing import PlatformCatalogue
from klever.controllers.extraction import (
    RETRY_SECONDS,
    Extraction,
    apply_extraction,
    find_extraction,
    has_ended,
    is_retried,
    wants_extraction,
)
from klever.controllers.inspections import inspection_of
from klever.errors import AlreadyExistsError, InvalidError, NotFoundError
from klever.oci.reference import Reference
from klever.reconcile.runner import Result
from klever.store import Key, Store

__all__ = ["PushReconciler", "ensure_namespace"]

_WAITING = 10_000
_LOOK_SECONDS = 2.0


class PushReconciler:
    """Writes to `store`; `seen` is where it finds out, without a call, what jobs there are."""

    def __init__(
        self,
        store: Store,
        seen: Store,
        catalogue: PlatformCatalogue,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._seen = seen
        self._catalogue = catalogue
        self._clock = clock
        self._queue: asyncio.Queue[Key] = asyncio.Queue(_WAITING)
        self._pushed: dict[Key, object] = {}
        """A mark for each that was pushed and not looked at since: a job that ended before was for an earlier push."""
        self._projects: set[str] = set()
        """Those that are known to be there."""

    async def notify(self, repository: str, tag: str) -> None:
        """Take a notification; waits where very many do."""
        if "/" in repository and tag:
            key = _key(repository, tag)
            self._projects.discard(key.namespace)  # it may have been deleted since the last push
            self._pushed[key] = object()
            await self._queue.put(key)

    async def watch(self) -> AsyncIterator[Key]:
        """Yield each version that is there, then each that is pushed."""
        for repository in await self._catalogue.models():
            for tag in await self._catalogue.tags(repository):
                yield _key(repository, tag)
        while True:
            yield await self._queue.get()

    async def reconcile(self, key: Key) -> Result:
        """Have a version inspected and its signature read, until it has both or cannot have them."""
        mark = self._pushed.get(key)
        result = await self._look(key, pushed=mark is not None)
        if self._pushed.get(key) is mark:  # else it was pushed again meanwhile
            self._pushed.pop(key, None)
        return result

    async def _look(self, key: Key, *, pushed: bool) -> Result:
        reference = Reference.parse(f"{key.namespace}/{key.name}")
        try:
            version = await self._catalogue.resolve(reference)
        except (NotFoundError, InvalidError):
            return Result()  # gone again, or no model
        await self._ensure_project(key.namespace)
        if not wants_extraction(version, await inspection_of(self._seen, version.content)):
            return Result()
        try:
            return await self._extract(version, self._seen, pushed=pushed)
        except AlreadyExistsError:  # the cache has not heard of it yet
            return await self._extract(version, self._store, pushed=pushed)
        except NotFoundError:
            self._projects.discard(key.namespace)
            raise

    async def _extract(self, version: Version, seen: Store, *, pushed: bool) -> Result:
        """Have the job run, a new one if the last is outdated."""
        namespaces = (version.reference.project,)
        job = await find_extraction(seen, namespaces, version)
        outdated = job is not None and has_ended(job) and await self._is_outdated(version, pushed, job)
        if job is None or outdated:
            await apply_extraction(self._store, Extraction(version, namespaces, job))
        elif has_ended(job) and not is_retried(job):
            return Result()
        return Result(_LOOK_SECONDS)

    async def _ensure_project(self, name: str) -> None:
        if name not in self._projects:
            await ensure_namespace(self._store, name)
            self._projects.add(name)

    async def _is_outdated(self, version: Version, pushed: bool, job: Object) -> bool:
        status = job["status"]
        if status["phase"] == "Succeeded":
            if await inspection_of(self._seen, version.content) is None:
                return True  # it is of an older platform
            # The job succeeded, but the version has no signature: the tag was pushed again.
            return bool(status["result"]["digest"] != str(version.digest))
        if pushed:
            return True
        ended = parse_time(status["completionTime"])
        return is_retried(job) and self._clock() - ended > timedelta(seconds=RETRY_SECONDS)


async def ensure_namespace(store: Store, name: str) -> None:
    """Make the project of a pushed model, as the registry made its repository."""
    try:
        await store.get(NAMESPACE, Key("", name))
    except NotFoundError:
        with suppress(AlreadyExistsError):  # somebody was faster
            await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _key(repository: str, tag: str) -> Key:
    project, _, model = repository.partition("/")
    return Key(project, f"{model}:{tag}")
