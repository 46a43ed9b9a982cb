"""The objects of Servings on the cluster: followed by watches, and written only where they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from klever.api.kinds import Kind, Object
from klever.backends import ServingKey
from klever.backends.kubernetes.manifests import SERVING, WORKLOAD
from klever.errors import NotFoundError
from klever.kube.client import KubeClient
from klever.kube.drift import covers, mark
from klever.kube.kinds import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, NETWORK_POLICY, POD, SECRET, SERVICE
from klever.kube.reflector import Reflector
from klever.kube.secrets import own_secret

__all__ = ["Children", "read_key"]

_FOLLOWED: Final = (DEPLOYMENT, POD, SERVICE, AUTOSCALER, DISRUPTION_BUDGET)
_OF_WORKLOADS: Final = (AUTOSCALER, DISRUPTION_BUDGET, DEPLOYMENT, SERVICE)
"""Each has the name of the workload's Deployment, and is deleted in this order."""


class Children:
    """Between `start` and `stop` it tells the keys of the Servings whose objects change."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._reflectors = {kind: Reflector(client, kind, labels=WORKLOAD) for kind in _FOLLOWED}
        self._reflectors[NETWORK_POLICY] = Reflector(client, NETWORK_POLICY, labels=SERVING)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, changed: Callable[[ServingKey], None]) -> None:
        """Return when all existing objects are known."""
        for kind, reflector in self._reflectors.items():
            self._tasks.append(asyncio.create_task(reflector.run(), name=f"replicas' {kind}s"))
            self._tasks.append(asyncio.create_task(self._follow(reflector, changed), name=f"changes of {kind}s"))
        for reflector in self._reflectors.values():
            await reflector.synced()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._reflectors[kind].get(namespace, name)

    def of(self, kind: Kind, key: ServingKey) -> tuple[Object, ...]:
        """Return the objects of a Serving."""
        return tuple(obj for obj in self._reflectors[kind].list(key.namespace) if read_key(obj) == key)

    def keys(self) -> tuple[ServingKey, ...]:
        """Return the Servings that have Deployments."""
        return tuple(sorted({read_key(obj) for obj in self._reflectors[DEPLOYMENT].list()}))

    async def apply(self, kind: Kind, obj: Object) -> None:
        """Apply an object, unless it is on the cluster as it should be."""
        marked, metadata = mark(obj), obj["metadata"]
        live = self.get(kind, metadata["namespace"], metadata["name"])
        if live is None or not covers(live, marked):
            self._reflectors[kind].note(await self._client.apply(kind, marked))

    async def keep(self, kinds: Iterable[tuple[Kind, Object | None]], namespace: str, name: str) -> None:
        """Apply each object, and delete the one of this name where there should be none."""
        for kind, obj in kinds:
            if obj is not None:
                await self.apply(kind, obj)
            elif self.get(kind, namespace, name) is not None:
                await self.delete(kind, namespace, name)

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        with suppress(NotFoundError):
            await self._client.delete(kind, namespace, name)

    async def delete_workload(self, deployment: Object) -> None:
        """Delete all objects of a workload."""
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        for kind in _OF_WORKLOADS:
            if self.get(kind, namespace, name) is not None:
                await self.delete(kind, namespace, name)
        await self.delete(SECRET, namespace, own_secret(name))

    async def _follow(self, reflector: Reflector, changed: Callable[[ServingKey], None]) -> None:
        with reflector.subscribe() as subscription:
            while True:
                _, obj = await subscription.next()
                changed(read_key(obj))


def read_key(obj: Object) -> ServingKey:
    metadata: Any = obj["metadata"]
    return ServingKey(metadata["namespace"], metadata["labels"][SERVING])
