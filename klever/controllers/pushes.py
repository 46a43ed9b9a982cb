"""Pushed versions: a push whose signature can be read gets its extraction job by itself.

A key is (project, `MODEL:TAG`). Notifications name keys at once; every version is named again at each start, so that a
lost notification heals.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from klever.api.kinds import NAMESPACE
from klever.catalog.catalogue import Catalogue
from klever.controllers.extraction import ensure_extraction, wants_extraction
from klever.errors import AlreadyExistsError, InvalidError, NotFoundError
from klever.oci.reference import Reference
from klever.reconcile.runner import Result
from klever.store import Key, Store

__all__ = ["PushReconciler", "ensure_namespace"]

_WAITING = 10_000


class PushReconciler:
    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._pushed: asyncio.Queue[Key] = asyncio.Queue(_WAITING)

    async def notify(self, repository: str, tag: str) -> None:
        """Take a notification; waits where very many do."""
        if "/" in repository and tag:
            await self._pushed.put(_key(repository, tag))

    async def watch(self) -> AsyncIterator[Key]:
        """Yield each version that is there, then each that is pushed."""
        for repository in await self._catalogue.models():
            for tag in await self._catalogue.tags(repository):
                yield _key(repository, tag)
        while True:
            yield await self._pushed.get()

    async def reconcile(self, key: Key) -> Result:
        reference = Reference.parse(f"{key.namespace}/{key.name}")
        try:
            version = await self._catalogue.resolve(reference)
        except (NotFoundError, InvalidError):
            return Result()  # gone again, or no model: nothing to do
        await ensure_namespace(self._store, key.namespace)
        if wants_extraction(version):
            await ensure_extraction(self._store, key.namespace, version)
        return Result()


async def ensure_namespace(store: Store, name: str) -> None:
    """Make the project of a pushed model, as the registry made its repository."""
    try:
        await store.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    except AlreadyExistsError:
        return


def _key(repository: str, tag: str) -> Key:
    project, _, model = repository.partition("/")
    return Key(project, f"{model}:{tag}")
