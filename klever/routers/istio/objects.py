"""The objects of routes on a cluster: applied, followed, and put right when somebody else changes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from klever.api.kinds import GROUP, SERVING, Kind, Object
from klever.errors import KleverError, NotFoundError
from klever.kube.client import KubeClient
from klever.kube.kinds import ISTIO_KINDS
from klever.kube.reflector import Reflector, Subscription
from klever.routers import RouteKey

__all__ = ["ROUTE", "Objects", "new_object", "serving_object"]

log = logging.getLogger(__name__)

ROUTE: Final = f"{GROUP}/route"
"""Label: the name of the Serving; empty for an object of all routes."""
_AGAIN_S: Final = 5.0

Address = tuple[Kind, str, str]
"""Kind, namespace and name."""


def new_object(kind: Kind, namespace: str, name: str, spec: Mapping[str, Any], *, serving: str = "") -> Object:
    labels = {"app.kubernetes.io/managed-by": "klever", ROUTE: serving}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def serving_object(kind: Kind, key: RouteKey, name: str, spec: Mapping[str, Any], owner: str) -> Object:
    """Return an object that Kubernetes deletes with its Serving, whose uid is `owner`."""
    obj = new_object(kind, key.namespace, name, spec, serving=key.serving)
    if owner:
        reference = {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "name": key.serving, "uid": owner}
        obj["metadata"]["ownerReferences"] = [reference | {"controller": True}]
    return obj


class Objects:
    """`run` follows the cluster until cancelled. The rest works once `synced` has returned."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._reflectors = {kind: Reflector(client, kind, labels=ROUTE) for kind in ISTIO_KINDS}
        self._wanted: dict[Address, Object] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind, reflector in self._reflectors.items():
                group.create_task(reflector.run(), name=f"routes' {kind.kind}s")
                group.create_task(self._repair(kind), name=f"changes of routes' {kind.kind}s")

    async def synced(self) -> None:
        for reflector in self._reflectors.values():
            await reflector.synced()

    def all(self, kind: Kind, key: RouteKey | None = None) -> list[Object]:
        """Return the objects of a Serving, or all."""
        found = self._reflectors[kind].list(key.namespace if key else "")
        return [one for one in found if key is None or one["metadata"]["labels"].get(ROUTE) == key.serving]

    def of(self, key: RouteKey) -> list[Address]:
        """Return everything that belongs to a Serving."""
        return [(kind, key.namespace, one["metadata"]["name"]) for kind in ISTIO_KINDS for one in self.all(kind, key)]

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._reflectors[kind].get(namespace, name)

    def adopt(self, kind: Kind, live: Object) -> None:
        """Leave an object unchanged."""
        metadata = {k: v for k, v in live["metadata"].items() if k in _METADATA}
        self._wanted[_address(kind, live)] = {**live, "metadata": metadata}

    async def apply(self, kind: Kind, obj: Object) -> None:
        """Set the desired object. After an error, the old one stays."""
        address = _address(kind, obj)
        before, self._wanted[address] = self._wanted.get(address), obj
        live = self.get(*address)
        if live is not None and not _differs(obj, live):
            return
        try:
            self._reflectors[kind].note(await self._client.apply(kind, obj))
        except BaseException:
            self._forget(address)
            if before is not None:
                self._wanted[address] = before
            raise

    async def restore(self, kind: Kind, namespace: str, name: str) -> None:
        """Write the desired object again."""
        self._reflectors[kind].note(await self._client.apply(kind, self._wanted[kind, namespace, name]))

    async def remove(self, address: Address) -> None:
        self._forget(address)
        with suppress(NotFoundError):
            await self._client.delete(*address)

    def _forget(self, address: Address) -> None:
        self._wanted.pop(address, None)

    async def _repair(self, kind: Kind) -> None:
        await self._reflectors[kind].synced()
        with self._reflectors[kind].subscribe() as subscription:
            while True:
                type_, obj = await subscription.next()
                await self._put_right(kind, type_, obj, subscription)

    async def _put_right(self, kind: Kind, type_: str, obj: Object, subscription: Subscription) -> None:
        address = _address(kind, obj)
        wanted = self._wanted.get(address)
        live = self.get(*address)
        if wanted is None or (live is not None and not _differs(wanted, live)):
            return
        log.info("%s %s/%s was %s by somebody else: put right", kind.kind, *address[1:], type_.lower())
        try:
            await self.restore(*address)
        except KleverError as error:
            log.warning("%s %s/%s cannot be put right: %s", kind.kind, *address[1:], error)
            asyncio.get_running_loop().call_later(_AGAIN_S, subscription.add, address[1:], type_, obj)


_METADATA: Final = ("name", "namespace", "labels", "annotations", "ownerReferences")


def _address(kind: Kind, obj: Object) -> Address:
    return kind, obj["metadata"]["namespace"], obj["metadata"]["name"]


def _differs(wanted: Object, live: Object) -> bool:
    """Return whether a field that is wanted is not there. Others may add fields of their own."""
    metadata, found = wanted["metadata"], live["metadata"]
    if any(live.get("spec", {}).get(name) != value for name, value in wanted["spec"].items()):
        return True
    maps = ((metadata.get(name, {}), found.get(name, {})) for name in ("labels", "annotations"))
    owners = metadata.get("ownerReferences", [])
    return any(not mine.items() <= theirs.items() for mine, theirs in maps) or any(
        owner not in found.get("ownerReferences", []) for owner in owners
    )
