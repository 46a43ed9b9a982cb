"""A cluster in memory, and a gateway that tells the versions of its VirtualServices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from klever.api.kinds import Kind, Object
from klever.errors import KleverError, NotFoundError
from klever.kube.kinds import ENVOY_FILTER, SERVICE, VIRTUAL_SERVICE

__all__ = ["FakeCluster", "FakeGateway"]

Address = tuple[Kind, str, str]


class FakeCluster:
    """Has the methods of `klever.kube.KubeClient` that the router calls."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(server="memory")
        self.objects: dict[Address, Object] = {}
        self.missing: Kind | None = None
        self.failures: list[KleverError] = []
        """Each is raised by one apply."""
        self.applied: list[str] = []
        self._version = 0
        self._watchers: dict[Kind, list[asyncio.Queue[tuple[str, Object]]]] = {}

    def service(self, name: str, address: str) -> None:
        self.put(SERVICE, {"metadata": {"name": name, "namespace": "team"}, "spec": {"clusterIP": address}})

    def names(self, kind: Kind) -> list[str]:
        return [name for one, _, name in self.objects if one is kind]

    def put(self, kind: Kind, obj: Object) -> Object:
        """Write an object, as anybody may."""
        self._version += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        address = (kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
        type_ = "MODIFIED" if address in self.objects else "ADDED"
        self.objects[address] = stored
        self._tell(kind, type_, stored)
        return stored

    def drop(self, kind: Kind, namespace: str, name: str) -> None:
        self._version += 1
        gone = self.objects.pop((kind, namespace, name))
        metadata = {**gone["metadata"], "resourceVersion": str(self._version)}
        self._tell(kind, "DELETED", {**gone, "metadata": metadata})

    async def list(self, kind: Kind, namespace: str = "", **_: Any) -> Object:
        if kind is self.missing:
            raise NotFoundError(f"no {kind.kind}")
        found = [obj for (one, place, _), obj in self.objects.items() if one is kind and namespace in ("", place)]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": found}

    async def watch(self, kind: Kind, *_: Any, **__: Any) -> AsyncGenerator[tuple[str, Object], None]:
        queue: asyncio.Queue[tuple[str, Object]] = asyncio.Queue()
        self._watchers.setdefault(kind, []).append(queue)
        while True:
            yield await queue.get()

    async def apply(self, kind: Kind, obj: Object) -> Object:
        if self.failures:
            raise self.failures.pop()
        self.applied.append(f"{kind.kind}/{obj['metadata']['name']}")
        return self.put(kind, obj)

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        if (kind, namespace, name) not in self.objects:
            raise NotFoundError(name)
        self.drop(kind, namespace, name)

    def _tell(self, kind: Kind, type_: str, obj: Object) -> None:
        for queue in self._watchers.get(kind, ()):
            queue.put_nowait((type_, obj))


class FakeGateway:
    """Answers as a gateway that applies everything at once, or nothing more once it is `stuck`."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self.stuck: dict[str, str] | None = None
        """The answers that do not change any more, by path."""
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def stick(self) -> None:
        self.stuck = {path: entry["directResponse"]["body"]["string"] for path, entry in self.entries().items()}

    def entries(self) -> dict[str, Object]:
        """Return the entries that tell a version, by path."""
        services = [obj for (kind, _, _), obj in self._cluster.objects.items() if kind is VIRTUAL_SERVICE]
        return {obj["spec"]["http"][0]["match"][0]["uri"]["exact"]: obj["spec"]["http"][0] for obj in services}

    async def _answer(self, request: web.Request) -> web.Response:
        entry = self.entries().get(request.path)
        if self.stuck is not None:
            told = self.stuck.get(request.path, "")
            return web.Response(text=told, status=200 if told else 404)
        if entry is None:
            return web.Response(status=404)
        guards = self._cluster.names(ENVOY_FILTER)
        if guards and entry.get("name") == "klever-triton" and "Content-Encoding" in request.headers:
            return web.Response(status=400)
        return web.Response(text=entry["directResponse"]["body"]["string"])
