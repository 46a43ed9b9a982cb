"""Publishes routes to Istio's gateway as VirtualServices in the namespaces of the Servings."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

import yaml

from klever.api.kinds import Kind, Object
from klever.errors import FailedPreconditionError, FieldViolation, KleverError, NotFoundError, UnavailableError
from klever.kube.client import KubeClient
from klever.kube.kinds import ENVOY_FILTER, GATEWAY, ISTIO_KINDS, SERVICE, SERVICE_ENTRY, VIRTUAL_SERVICE
from klever.routers import Route, RouteKey
from klever.routers.headers import check_headers
from klever.routers.istio.destinations import Names
from klever.routers.istio.guard import guard_spec
from klever.routers.istio.live import GatewayProbe
from klever.routers.istio.matches import check_expressible, check_expressions
from klever.routers.istio.objects import Objects, new_object, serving_object
from klever.routers.istio.published import Published, annotate, read_published
from klever.routers.istio.settings import IstioSettings
from klever.routers.istio.virtual_service import Plan, plan_route
from klever.routers.rules import BASE
from klever.traffic.matches import Match
from klever.traffic.shares import check_sum

__all__ = ["IstioRouter"]

log = logging.getLogger(__name__)

_NAME: Final = "klever"
_GUARD: Final = "klever-guard"
_CLUSTER_DOMAIN: Final = "svc.cluster.local"


class IstioRouter:
    """Implements `klever.routers.Router`. Use it as a context: it repairs its objects only inside."""

    def __init__(self, client: KubeClient, settings: IstioSettings) -> None:
        self._client = client
        self._settings = settings
        self._objects = Objects(client)
        self._probe = GatewayProbe(settings)
        self._gateway = settings.gateway or f"{settings.namespace}/{_NAME}"
        self._published: dict[RouteKey, Published] = {}
        self._changed: dict[RouteKey, float] = {}
        """When a route changed last, on the monotonic clock."""
        self._began = time.monotonic()
        self._locks: WeakValueDictionary[RouteKey, asyncio.Lock] = WeakValueDictionary()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Learn which routes there are, and have the Gateway and the guard.

        Raises `FailedPreconditionError` if the cluster does not have Istio's kinds.
        """
        await self._check_istio()
        await self._stack.enter_async_context(self._probe)
        following = asyncio.create_task(self._objects.run(), name="routes")
        self._stack.push_async_callback(_end, following)
        await self._objects.synced()
        for kind, obj in self._shared():
            await self._objects.apply(kind, obj)
        for service in self._objects.all(VIRTUAL_SERVICE):
            published = read_published(service, self._objects)
            if published is not None:
                self._published[published.route.key] = published
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the routes to the next router."""
        await self._stack.aclose()

    def check(self, matches: tuple[Match, ...]) -> tuple[FieldViolation, ...]:
        return (*check_headers(matches), *check_expressible(matches))

    async def publish(self, route: Route) -> None:
        if route.shares:
            check_sum(route.shares)
        check_expressions(route)
        async with self._lock(route.key):
            published = self._published.get(route.key)
            if published is None or published.route != route:
                await self._publish(route)

    async def withdraw(self, key: RouteKey) -> None:
        async with self._lock(key):
            self._published.pop(key, None)
            if self._objects.get(VIRTUAL_SERVICE, key.namespace, key.serving) is not None:
                await self._objects.remove((VIRTUAL_SERVICE, key.namespace, key.serving))
                self._changed[key] = time.monotonic()
                await self._probe.until_live(key, "", guarded=False)
            if self._objects.of(key):
                await self._until_drained(key)
                await self._prune(key)
            self._changed.pop(key, None)

    async def drain(self, key: RouteKey, workload: str) -> None:  # noqa: ARG002 - all that left the route drain alike
        """Return some seconds after the route changed: a replica that is deleted ends only after its last request."""
        await self._until_drained(key)
        async with self._lock(key):
            if key in self._published:
                await self._prune(key)

    async def routes(self) -> tuple[Route, ...]:
        return tuple(published.route for _, published in sorted(self._published.items()))

    def render(self, route: Route) -> dict[str, str]:
        plan = plan_route(route, self._settings, self._gateway, lambda _: "")
        return {
            f"{obj['kind'].lower()}-{obj['metadata']['name']}.yaml": yaml.safe_dump(obj, sort_keys=False)
            for _, obj in (*_parts(route, plan), _virtual_service(route, plan))
        }

    def url(self, key: RouteKey) -> str:
        return f"{self._settings.url.rstrip('/')}{BASE}/{key.namespace}/{key.serving}"

    async def metrics(self) -> str:
        """Return nothing: the gateway's pods have metrics of their own."""
        return ""

    def _lock(self, key: RouteKey) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    async def _publish(self, route: Route) -> None:
        if route.key in self._published and not self._seconds_to_drain(route.key):
            await self._prune(route.key)
        names = await self._names(route.key.namespace)
        plan = plan_route(route, self._settings, self._gateway, names)
        await self._explain(route, plan)
        before = self._objects.get(VIRTUAL_SERVICE, route.key.namespace, route.key.serving)
        await self._objects.apply(*_virtual_service(route, plan))
        try:
            await self._probe.until_live(route.key, plan.version, guarded=plan.guarded)
        except UnavailableError:
            await self._take_back(route.key, before)
            raise
        self._published[route.key] = Published(route, frozenset(plan.parts))
        self._changed[route.key] = time.monotonic()

    async def _explain(self, route: Route, plan: Plan) -> None:
        """Tell Istio of the destinations before a route names them."""
        parts = _parts(route, plan)
        namespace = route.key.namespace
        missing = any(self._objects.get(kind, namespace, obj["metadata"]["name"]) is None for kind, obj in parts)
        for kind, obj in parts:
            await self._objects.apply(kind, obj)
        if missing and any(kind is SERVICE_ENTRY for kind, _ in parts):
            await asyncio.sleep(self._settings.settle_s)

    async def _take_back(self, key: RouteKey, before: Object | None) -> None:
        """Have the old route again: replicas that only the new one names may be removed."""
        try:
            if before is None:
                await self._objects.remove((VIRTUAL_SERVICE, key.namespace, key.serving))
            else:
                self._objects.adopt(VIRTUAL_SERVICE, before)
                await self._objects.restore(VIRTUAL_SERVICE, key.namespace, key.serving)
        except KleverError as error:
            log.warning("the route of %s cannot be taken back: %s", key, error)

    async def _names(self, namespace: str) -> Names:
        """Return the host names of a namespace's Services."""
        services = (await self._client.list(SERVICE, namespace))["items"]
        addresses = {
            one["spec"].get("clusterIP", ""): f"{one['metadata']['name']}.{namespace}.{_CLUSTER_DOMAIN}"
            for one in services
        }
        return lambda address: addresses.get(address, "")

    async def _until_drained(self, key: RouteKey) -> None:
        await asyncio.sleep(self._seconds_to_drain(key))

    def _seconds_to_drain(self, key: RouteKey) -> float:
        return max(self._changed.get(key, self._began) + self._settings.drain_s - time.monotonic(), 0)

    async def _prune(self, key: RouteKey) -> None:
        """Remove the objects that the published route does not need."""
        published = self._published.get(key)
        named = {*(published.parts if published else ()), (VIRTUAL_SERVICE, key.serving)}
        for kind, namespace, name in self._objects.of(key):
            if (kind, name) not in named:
                await self._objects.remove((kind, namespace, name))

    def _shared(self) -> list[tuple[Kind, Object]]:
        """Return the objects of all routes."""
        settings = self._settings
        guard = new_object(ENVOY_FILTER, settings.namespace, _GUARD, guard_spec(settings))
        server = {"port": {"number": settings.port, "name": "http", "protocol": "HTTP"}, "hosts": list(settings.hosts)}
        spec = {"selector": dict(settings.selector), "servers": [server]}
        made = [] if settings.gateway else [(GATEWAY, new_object(GATEWAY, settings.namespace, _NAME, spec))]
        return [(ENVOY_FILTER, guard), *made]

    async def _check_istio(self) -> None:
        for kind in ISTIO_KINDS:
            try:
                await self._client.list(kind, limit=1)
            except NotFoundError as error:
                raise FailedPreconditionError(
                    f"the cluster has no {kind.kind} of {kind.api_version}: install Istio 1.22 or later, "
                    "or use another router"
                ) from error


def _parts(route: Route, plan: Plan) -> list[tuple[Kind, Object]]:
    return [
        (kind, serving_object(kind, route.key, name, spec, route.owner)) for (kind, name), spec in plan.parts.items()
    ]


def _virtual_service(route: Route, plan: Plan) -> tuple[Kind, Object]:
    obj = serving_object(VIRTUAL_SERVICE, route.key, route.key.serving, plan.spec, route.owner)
    return VIRTUAL_SERVICE, annotate(obj, route, _parts(route, plan))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
