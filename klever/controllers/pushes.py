"""Creates a job for each pushed version, which inspects it and reads its signature if possible.

A key is (project, `MODEL:TAG`). A notification names a key at once. Each start names every version again, so that a
lost notification does no harm.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from klever.api.kinds import NAMESPACE, Object
from klever.api.text import parse_time
from klever.artifacts.dialects import config_media_types
from klever.catalog.catalogue import Catalogue, Push, Version
from klever.controllers.extraction import Extraction, extraction_name, wants_extraction
from klever.controllers.inspections import find_inspection
from klever.controllers.jobs import RETRY_SECONDS, apply_job, find_job, has_ended, is_retried
from klever.errors import AlreadyExistsError, InvalidError, NotFoundError
from klever.oci.reference import Reference
from klever.reconcile.runner import Result
from klever.store import Key, Store

__all__ = ["PushReconciler", "ensure_namespace"]

_LOOK_SECONDS = 2.0


class PushReconciler:
    """Writes to `store`, and reads jobs from `seen`, which answers without a call.

    With `makes_projects` it creates the missing project of a pushed model. Otherwise such models wait until the project
    exists and they are pushed again, or until the process restarts.
    """

    def __init__(
        self,
        store: Store,
        seen: Store,
        catalogue: Catalogue,
        *,
        makes_projects: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._seen = seen
        self._catalogue = catalogue
        self._makes_projects = makes_projects
        self._clock = clock
        self._pushed: dict[Key, Push] = {}
        """Notifications that are not handled yet. A job that ended before a push belongs to an earlier push."""
        self._projects: set[str] = set()
        """Projects that are known to exist."""

    def notify(self, push: Push) -> Key | None:
        """Record a notification. Return the key to reconcile; None if it is not a model."""
        if "/" not in push.repository or push.config_media_type not in ("", *config_media_types()):
            return None
        key = _key(push.repository, push.tag)
        self._pushed[key] = push
        if push.new:
            self._projects.discard(key.namespace)  # it may have been deleted meanwhile
        return key

    async def watch(self) -> AsyncIterator[Key]:
        """Yield each existing version, then each pushed one."""
        async for push in self._catalogue.notifications():
            if key := self.notify(push):
                yield key

    async def reconcile(self, key: Key) -> Result:
        """Run jobs until the version has an inspection and a signature, or cannot have them."""
        push = self._pushed.get(key)
        result = await self._look(key, push)
        if self._pushed.get(key) is push:  # otherwise it was pushed again meanwhile
            self._pushed.pop(key, None)
        return result

    async def _look(self, key: Key, push: Push | None) -> Result:
        try:
            version = await self._resolve(key, push)
        except (NotFoundError, InvalidError):
            return Result()  # deleted meanwhile, or not a model
        pushed = push is not None and push.new
        if not await self._has_project(key.namespace):
            return Result()
        if not wants_extraction(version, await find_inspection(self._seen, version.content)):
            return Result()
        try:
            return await self._extract(version, self._seen, pushed=pushed)
        except AlreadyExistsError:  # the cache does not have it yet
            return await self._extract(version, self._store, pushed=pushed)
        except NotFoundError:
            self._projects.discard(key.namespace)
            raise

    async def _resolve(self, key: Key, push: Push | None) -> Version:
        """Return the pushed version; in a later reconcile, the current version of the tag."""
        reference = Reference.parse(f"{key.namespace}/{key.name}")
        if push is None:
            return await self._catalogue.resolve(reference)
        return replace(await self._catalogue.resolve(reference.with_digest(push.digest)), reference=reference)

    async def _extract(self, version: Version, seen: Store, *, pushed: bool) -> Result:
        """Run the job, or a new one if the last is outdated."""
        namespaces = (version.reference.project,)
        job = await find_job(seen, namespaces, extraction_name(version))
        outdated = job is not None and has_ended(job) and await self._is_outdated(version, pushed, job)
        if job is None or outdated:
            await apply_job(self._store, Extraction(version, namespaces, job))
        elif has_ended(job) and not is_retried(job):
            return Result()
        return Result(_LOOK_SECONDS)

    async def _has_project(self, name: str) -> bool:
        if name in self._projects:
            return True
        if self._makes_projects:
            await ensure_namespace(self._store, name)
            self._projects.add(name)
            return True
        try:
            await self._seen.get(NAMESPACE, Key("", name))
        except NotFoundError:
            return False
        return True

    async def _is_outdated(self, version: Version, pushed: bool, job: Object) -> bool:
        status = job["status"]
        if status["phase"] == "Succeeded":
            if await find_inspection(self._seen, version.content) is None:
                return True  # an older platform made it
            # The job succeeded, but the version has no signature: the tag was pushed again.
            return bool(status["result"]["digest"] != str(version.digest))
        if pushed:
            return True
        ended = parse_time(status["completionTime"])
        return is_retried(job) and self._clock() - ended > timedelta(seconds=RETRY_SECONDS)


async def ensure_namespace(store: Store, name: str) -> None:
    """Create the project of a pushed model, as the registry created its repository."""
    try:
        await store.get(NAMESPACE, Key("", name))
    except NotFoundError:
        with suppress(AlreadyExistsError):  # created meanwhile
            await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def _key(repository: str, tag: str) -> Key:
    project, _, model = repository.partition("/")
    return Key(project, f"{model}:{tag}")
