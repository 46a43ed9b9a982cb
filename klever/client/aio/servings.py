"""Servings, and their rollouts."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Mapping

from klever.client.aio.connection import AsyncConnection
from klever.client.aio.objects import AsyncObjects
from klever.client.stored import SERVINGS
from klever.v1alpha1.revision_pb2 import ServingRevision
from klever.v1alpha1.serving_pb2 import Serving
from klever.v1alpha1.serving_service_pb2 import Instance, WatchServingsResponse

__all__ = ["AsyncServings"]


class AsyncServings(AsyncObjects[Serving, WatchServingsResponse]):
    """The Servings. Each change of a rollout returns the changed Serving."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection, SERVINGS)

    async def promote(self, name: str, predictor: str = "", *, namespace: str = "") -> Serving:
        """Make a predictor, by default `canary`, the main one, which takes the requests of both.

        Raises `FailedPreconditionError` unless the predictor is ready.
        """
        serving: Serving = await self._call("Promote", name=name, predictor=predictor, namespace=namespace)
        return serving

    async def abort(self, name: str, predictor: str = "", *, namespace: str = "") -> Serving:
        """Remove a predictor, by default `canary`. The others take its requests."""
        serving: Serving = await self._call("Abort", name=name, predictor=predictor, namespace=namespace)
        return serving

    async def rollback(self, name: str, to: int = 0, *, namespace: str = "") -> Serving:
        """Return to the revision with the number `to`.

        By default it is the one that serves, if the spec is not Ready, or else the one that served before. Raises
        `FailedPreconditionError` without an earlier revision, `NotFoundError` for one that is not kept.
        """
        serving: Serving = await self._call("Rollback", name=name, number=to, namespace=namespace)
        return serving

    async def scale(self, name: str, replicas: int, *, predictor: str = "", namespace: str = "") -> Serving:
        """Change the number of processes of a predictor, by default `main` or the only one."""
        fields = {"name": name, "replicas": replicas, "predictor": predictor}
        serving: Serving = await self._call("Scale", **fields, namespace=namespace)
        return serving

    async def set_traffic(self, name: str, shares: Mapping[str, int], *, namespace: str = "") -> Serving:
        """Set the shares in percent, by the names of predictors. Their sum must be 100."""
        serving: Serving = await self._call("SetTraffic", name=name, traffic=shares, namespace=namespace)
        return serving

    async def undo_traffic(self, name: str, *, namespace: str = "") -> Serving:
        """Return to the shares before the last change."""
        serving: Serving = await self._call("SetTraffic", name=name, undo=True, namespace=namespace)
        return serving

    async def instances(self, name: str, *, namespace: str = "") -> builtins.list[Instance]:
        """Return the processes of a Serving."""
        response = await self._call("ListInstances", name=name, namespace=namespace)
        return [*response.items]

    async def revisions(self, name: str, *, namespace: str = "") -> AsyncGenerator[ServingRevision, None]:
        """Yield the specs with which a Serving was Ready: digests, author, and the times in which each served."""
        fields = {"name": name, "namespace": namespace, "order_by": "spec.number"}
        async for revision in self._pages("ListServingRevisions", **fields):
            yield revision
