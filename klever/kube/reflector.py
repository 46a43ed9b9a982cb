"""A cache of all objects of a kind, kept up to date by one list and one watch (client-go: Reflector)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from klever.api.kinds import Kind, Object
from klever.backoff import Backoff
from klever.errors import KleverError
from klever.kube.client import KubeClient
from klever.kube.resume import LIVED_SECONDS, follow

__all__ = ["Reflector", "Subscription"]

log = logging.getLogger(__name__)

_PAGE = 500

Address = tuple[str, str]
"""Namespace and name."""


class Subscription:
    """The pending changes of one reader: the last one of each object, so their number is bounded."""

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
    """Call `run`, and read when `synced`. Objects have no managedFields. Readers must not modify them.

    With the label selector `labels`, it caches only matching objects.
    """

    def __init__(self, client: KubeClient, kind: Kind, *, labels: str = "") -> None:
        self.kind = kind
        self._client = client
        self._labels = labels
        self._objects: dict[Address, Object] = {}
        self._by_namespace: dict[str, set[Address]] = {}
        self._version = ""
        """The version of the last list or event."""
        self._synced = asyncio.Event()
        self._subscriptions: set[Subscription] = set()

    async def run(self) -> None:
        """List, then watch, until cancelled. Log every failure and retry."""
        backoff = Backoff()
        while True:
            began = time.monotonic()
            try:
                await self._list()
                await self._watch()
            except Exception as error:  # noqa: BLE001 - a cache that stands still for ever is worse
                if time.monotonic() - began > LIVED_SECONDS:
                    backoff.reset()
                delay = backoff.next(error)
                self._failed(error, delay)
                await asyncio.sleep(delay)

    async def synced(self) -> None:
        """Return once the cache has been filled."""
        await self._synced.wait()

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace, or all objects, ordered by namespace and name."""
        addresses = self._by_namespace.get(namespace, set()) if namespace else self._objects
        return [self._objects[address] for address in sorted(addresses)]

    def note(self, obj: Object) -> None:
        """Add the result of a write, so that reads return it before the watch does."""
        if _newer(obj["metadata"]["resourceVersion"], self._version):
            self._put(obj)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Subscribe to every existing object, as ADDED, and then to each change."""
        subscription = Subscription()
        for address, obj in sorted(self._objects.items()):
            subscription.add(address, "ADDED", obj)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def _list(self) -> None:
        """Replace the cache with a list. Objects that the list lacks were deleted meanwhile.

        Klever's own writes since the list stay, unless the list is older than the cache, because the server's data was
        restored from a backup.
        """
        seen: set[Address] = set()
        token = ""
        while True:
            page = await self._client.list(self.kind, labels=self._labels, limit=_PAGE, token=token)
            version = page["metadata"]["resourceVersion"]  # equal in all pages
            restored = _newer(self._version, version)
            for obj in page["items"]:
                seen.add(_address(obj))
                if restored or not self._knows_newer(_address(obj), version):
                    self._set(_lean(obj))
            token = page["metadata"].get("continue", "")
            if not token:
                break
        for address in self._objects.keys() - seen:
            if restored or not self._knows_newer(address, version):
                self._drop(self._objects[address])
        self._version = version
        self._synced.set()

    async def _watch(self) -> None:
        watch = follow(
            self._client, self.kind, labels=self._labels, resource_version=self._version, level=logging.WARNING
        )
        async with aclosing(watch) as events:
            async for type_, obj in events:
                version = obj["metadata"]["resourceVersion"]
                if type_ == "DELETED":
                    if not self._knows_newer(_address(obj), version):
                        self._drop(obj)
                elif type_ != "BOOKMARK":
                    self._put(_lean(obj))
                self._version = version

    def _failed(self, error: Exception, delay: float) -> None:
        what = f"{self.kind.resource} at {self._client.config.server}: {str(error) or type(error).__name__}"
        unexpected = None if isinstance(error, KleverError) else error
        log.warning("%s; listing again in %.1f s", what, delay, exc_info=unexpected)

    def _knows_newer(self, address: Address, version: str) -> bool:
        known = self._objects.get(address)
        return known is not None and _newer(known["metadata"]["resourceVersion"], version)

    def _put(self, obj: Object) -> None:
        """Add an object, unless a newer one is known."""
        if not self._knows_newer(_address(obj), obj["metadata"]["resourceVersion"]):
            self._set(obj)

    def _set(self, obj: Object) -> None:
        address = _address(obj)
        known = self._objects.get(address)
        if known == obj:
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
    """Return a version as a number. The versions of one kind increase (Kubernetes: KEP-5504)."""
    return int(version or 0) > int(than or 0)
