"""Publishes routes to Envoy: clusters first, then routes. It removes unused clusters last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from klever.errors import ExhaustedError, FieldViolation, InvalidError, UnavailableError
from klever.process import ProcessManager
from klever.routers import Route, RouteKey
from klever.routers.envoy.admin import Admin
from klever.routers.envoy.changes import Change, RouteChanges
from klever.routers.envoy.clusters import target_clusters
from klever.routers.envoy.files import GatewayFiles, encode
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.processes import PROCESS_ID, AccessProcess, EnvoyProcess
from klever.routers.envoy.routes import ROUTES, serving_routes
from klever.routers.envoy.watchdog import restart_when_silent
from klever.routers.headers import check_headers
from klever.traffic.matches import Match
from klever.traffic.shares import check_sum

__all__ = ["EnvoyRouter"]

log = logging.getLogger(__name__)

_LIVE_SECONDS = 10.0
_DRAIN_SECONDS = 30.0


class EnvoyRouter:
    """The Envoy of one data directory. `directory` has its files; `access` is the access server's command."""

    def __init__(
        self, directory: Path, gateway: Gateway, processes: ProcessManager, binary: Path, access: Sequence[str]
    ) -> None:
        self._gateway = gateway
        self._admin = Admin(gateway.admin)
        self._files = GatewayFiles(directory, gateway, partial(processes.check, PROCESS_ID))
        self._envoy = EnvoyProcess(gateway, processes, binary, self._files.bootstrap, self._admin)
        self._access = AccessProcess(gateway, processes, access)
        self._routes: dict[RouteKey, Route] = {}
        self._retiring: dict[str, dict[str, Any]] = {}
        self._version = 0
        self._lock = asyncio.Lock()
        self._changes = RouteChanges(self._apply)

    async def start(self) -> None:
        """Start or adopt Envoy and the access server, and return when they serve requests.

        Raises `FailedPreconditionError` with Envoy's message if it does not start or is missing.
        """
        self._files.make_directory()
        self._routes = {route.key: route for route in self._files.remembered()}
        self._version = int(time.time() * 1000)
        self._files.write_certificate(str(self._version))
        running = await self._envoy.runs()
        await self._access.ensure()
        if running and self._files.has_bootstrap():
            await self._write()
            return
        await self._envoy.remove()
        self._files.write_bootstrap()
        self._write_clusters()
        self._write_routes()
        await self._envoy.start()

    async def stop(self) -> None:
        await self._envoy.remove()
        await self._access.remove()

    async def finish(self) -> None:
        """Accept no more connections, and return when no request is in progress, or after the drain deadline."""
        with suppress(UnavailableError):  # Envoy does not run
            await self._admin.drain_listeners()
            await self._idle("http.gateway.downstream_rq_active")

    async def look_after(self) -> None:
        """Restart Envoy or the access server if it hangs, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(restart_when_silent("the gateway (Envoy)", self._admin.ready, self._restart))
            if self._gateway.beyond_loopback:
                access = self._access
                group.create_task(restart_when_silent("the access server", access.answers, access.restart))

    async def _restart(self) -> None:
        async with self._lock:
            await self._envoy.restart()

    def check(self, matches: tuple[Match, ...]) -> tuple[FieldViolation, ...]:
        return tuple(check_headers(matches))

    async def publish(self, route: Route) -> None:
        if route.shares:
            check_sum(route.shares)
        await self._changes.make(route.key, route)

    async def withdraw(self, key: RouteKey) -> None:
        if key in self._routes:
            await self._changes.make(key, None)
        prefix = f"{key.namespace}|{key.serving}|"  # also those of an earlier attempt that did not finish
        workloads = {name.split("|")[3] for name in self._retiring if name.startswith(prefix)}
        await asyncio.gather(*(self.drain(key, workload) for workload in workloads))

    async def drain(self, key: RouteKey, workload: str) -> None:
        prefix = f"{key.namespace}|{key.serving}|"
        names = [n for n in self._retiring if n.startswith(prefix) and n.split("|")[3] == workload]
        await asyncio.gather(*(self._idle(f"cluster.{name}.upstream_rq_active") for name in names))
        async with self._lock:
            for name in names:
                self._retiring.pop(name, None)
            if names:
                await self._write()

    async def routes(self) -> tuple[Route, ...]:
        return tuple(self._routes.values())

    def render(self, route: Route) -> dict[str, str]:
        clusters = [cluster for target in route.targets for cluster in target_clusters(route.key, target)]
        return {"clusters.json": encode(clusters).decode(), "routes.json": encode(serving_routes(route)).decode()}

    def url(self, key: RouteKey) -> str:
        return f"{self._gateway.url}/seldon/{key.namespace}/{key.serving}"

    async def metrics(self) -> str:
        """Return Envoy's metrics in Prometheus' text format."""
        return await self._admin.get("/stats/prometheus?usedonly")

    async def _apply(self, changes: Sequence[Change]) -> None:
        """Make changes live. Revert changes that Envoy rejects, so that its next start does not use them."""
        async with self._lock:
            changes = [change for change in changes if self._routes.get(change.key) != change.after]
            if not changes:
                return
            before = {change.key: self._routes.get(change.key) for change in changes}
            for change in changes:
                self._retire(self._routes.get(change.key), change.after)
                self._set(change.key, change.after)
            try:
                await self._write()
            except InvalidError:
                self._take_back(before)
                await self._write()
                raise
            except (ExhaustedError, UnavailableError):
                self._take_back(before)
                await asyncio.to_thread(self._restore)
                raise

    def _take_back(self, before: Mapping[RouteKey, Route | None]) -> None:
        for key, route in before.items():
            self._set(key, route)

    def _set(self, key: RouteKey, route: Route | None) -> None:
        if route is None:
            self._routes.pop(key, None)
        else:
            self._routes[key] = route

    def _retire(self, before: Route | None, after: Route | None) -> None:
        """Keep the clusters that the new route does not name until they are drained."""
        if before is None:
            return
        named = {c["name"] for t in (after.targets if after else ()) for c in target_clusters(before.key, t)}
        for target in before.targets:
            for cluster in target_clusters(before.key, target):
                if cluster["name"] not in named:
                    self._retiring[cluster["name"]] = cluster
        for name in named:
            self._retiring.pop(name, None)

    async def _idle(self, gauge: str) -> None:
        """Return when a gauge of the requests in progress is 0, or after the drain deadline."""
        pattern = gauge.replace("|", "%5C%7C").replace(".", "%5C.") + "$"
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            with suppress(UnavailableError):  # it is restarting
                if (await self._admin.stats(pattern)).get(gauge, "0") == "0":
                    return
            await asyncio.sleep(0.05)

    async def _write(self) -> None:
        """Write clusters and wait until they are live, then write routes and wait again."""
        self._version += 1
        await self._live("cluster_manager.cds", self._write_clusters)
        await self._live(f"http.gateway.rds.{ROUTES}", self._write_routes)
        await asyncio.to_thread(self._remember)

    async def _live(self, subscription: str, write: Callable[[], str]) -> None:
        rejections = await self._admin.rejections(subscription)
        version = await asyncio.to_thread(write)
        try:
            await self._admin.wait_for(subscription, version, rejections, _LIVE_SECONDS)
        except InvalidError as error:
            log = await self._envoy.log(20)
            why = [line for line in log if "rejected" in line][-1:]
            raise InvalidError(f"{error.message}: {''.join(why)[-500:]}", reason="ROUTE_REFUSED") from error

    def _restore(self) -> None:
        self._version += 1
        self._write_clusters()
        self._write_routes()

    def _remember(self) -> None:
        """Save the routes for the next start once they are live, because only then the old targets are drained."""
        self._files.remember(self._sorted())

    def _sorted(self) -> list[Route]:
        return sorted(self._routes.values(), key=lambda route: route.key)

    def _write_clusters(self) -> str:
        version = str(self._version)
        named = {c["name"]: c for r in self._routes.values() for t in r.targets for c in target_clusters(r.key, t)}
        self._files.write_clusters(version, {**self._retiring, **named}.values())
        return version

    def _write_routes(self) -> str:
        version = str(self._version)
        self._files.write_routes(version, self._sorted())
        return version
