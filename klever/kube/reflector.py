"""A cache of all objects of a kind, kept equal to the API server by one list and one watch (client-go: Reflector)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

from klever.api.kinds import Kind, Object
from klever.errors import ExpiredError, KleverError
from klever.kube.client import KubeClient

__all__ = ["Reflector", "Subscription"]

log = logging.getLogger(__name__)

_PAGE = 500
_FIRST_DELAY = 0.2
_MAX_DELAY = 10.0

Address = tuple[str, str]
"""Namespace and name."""


class Subscription:
    """Changes that wait for one reader: the last of each object, so that the number of objects bounds it."""

    def __init__(self) -> None:
        self._waiting: dict[Address, tuple[str, Object]] = {}
        self._ready = asyncio.Event()

    def add(self, address: Address, type_: str, obj: Object) -> None:
        self._waiting.pop(address, None)
        self._waiting[address] = (type_, obj)
        self._ready.set()

    async def next(self) -> tuple[str, Object]:
        """Return the next change: ADDED, MODIFIED or DELETED, and the object after it."""
        while not self._waiting:
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.pop(next(iter(self._waiting)))


class Reflector:
    """`run` it; read when `synced`. Objects have no managedFields; readers must not change them."""

    def __init__(self, client: KubeClient, kind: Kind) -> None:
        self.kind = kind
        self._client = client
        self._objects: dict[Address, Object] = {}
        self._by_namespace: dict[str, set[Address]] = {}
        self._version = ""
        self._synced = asyncio.Event()
        self._subscriptions: set[Subscription] = set()

    async def run(self) -> None:
        """List, then watch, until cancelled; an API server that is away is asked again and again."""
        delay = _FIRST_DELAY
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                delay = _FIRST_DELAY
            except ExpiredError:
                self._version = ""
            except KleverError as error:
                log.warning("%s: %s; again in %.1f s", self.kind.resource, error, delay)
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
                delay = min(delay * 2, _MAX_DELAY)

    async def synced(self) -> None:
        """Return once the cache has been filled."""
        await self._synced.wait()

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace, or all, by namespace and name."""
        addresses = self._by_namespace.get(namespace, set()) if namespace else self._objects
        return [self._objects[address] for address in sorted(addresses)]

    def note(self, obj: Object) -> None:
        """Take in what a write returned, so that it is read back; the watch tells it as well, later."""
        if _newer(obj["metadata"]["resourceVersion"], self._version):
            self._put(obj)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Hear of every object that there is, as ADDED, then of each change."""
        subscription = Subscription()
        for address, obj in sorted(self._objects.items()):
            subscription.add(address, "ADDED", obj)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def _list(self) -> None:
        """Make the cache what a list says: what is not in it was deleted while nobody watched."""
        seen: set[Address] = set()
        token = ""
        while True:
            page = await self._client.list(self.kind, limit=_PAGE, token=token)
            for obj in page["items"]:
                seen.add(_address(obj))
                self._put(_lean(obj))
            token = page["metadata"].get("continue", "")
            if not token:
                break
        for address in self._objects.keys() - seen:
            self._drop(self._objects[address])
        self._version = page["metadata"]["resourceVersion"]
        self._synced.set()

    async def _watch(self) -> None:
        async for type_, obj in self._client.watch(self.kind, resource_version=self._version):
            if type_ == "DELETED":
                self._drop(obj)
            elif type_ != "BOOKMARK":
                self._put(_lean(obj))
            self._version = obj["metadata"]["resourceVersion"]

    def _put(self, obj: Object) -> None:
        address = _address(obj)
        known = self._objects.get(address)
        if known is not None and not _newer(obj["metadata"]["resourceVersion"], known["metadata"]["resourceVersion"]):
            return
        self._objects[address] = obj
        self._by_namespace.setdefault(address[0], set()).add(address)
        self._tell(address, "ADDED" if known is None else "MODIFIED", obj)

    def _drop(self, obj: Object) -> None:
        address = _address(obj)
        if self._objects.pop(address, None) is None:
            return
        rest = self._by_namespace[address[0]]
        rest.discard(address)
        if not rest:
            del self._by_namespace[address[0]]
        self._tell(address, "DELETED", obj)

    def _tell(self, address: Address, type_: str, obj: Object) -> None:
        for subscription in self._subscriptions:
            subscription.add(address, type_, obj)


def _address(obj: Object) -> Address:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _lean(obj: Object) -> Object:
    obj["metadata"].pop("managedFields", None)
    return obj


def _newer(version: str, than: str) -> bool:
    """Versions of one kind are numbers that grow (Kubernetes: KEP-5504)."""
    return int(version) > int(than or 0)
