"""Publishes routes to Envoy: clusters first, then routes, then what nobody uses any more goes."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from klever.disk import disk_errors, replace_file
from klever.errors import (
    ExhaustedError,
    FailedPreconditionError,
    IntegrityError,
    InvalidError,
    KleverError,
    UnavailableError,
)
from klever.process import ProcessManager, ProcessSpec
from klever.routers import Route, RouteKey
from klever.routers.envoy.admin import ANSWER_SECONDS, Admin
from klever.routers.envoy.bootstrap import CLUSTERS_FILE, ROUTES_FILE, bootstrap
from klever.routers.envoy.changes import Change, RouteChanges
from klever.routers.envoy.clusters import clusters_of, fixed_clusters
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.routes import ROUTES, route_configuration, serving_routes
from klever.routers.envoy.state import decode_routes, encode_routes
from klever.routers.envoy.tls import CERTIFICATE_FILE, certificate_secret
from klever.traffic.shares import check_sum

__all__ = ["PROCESS_ID", "EnvoyRouter"]

log = logging.getLogger(__name__)

PROCESS_ID = "gateway"
_START_SECONDS = 15.0
_LIVE_SECONDS = 10.0
_DRAIN_SECONDS = 30.0
_LOOK_SECONDS = 2.0
_SILENT_LOOKS = 3
_LATE_SECONDS = 1.0
_ADVICE = {
    "Address already in use": "the port is taken, choose another with --port",
    "Cannot assign requested address": "this machine has no such address, choose another with --host",
}


class EnvoyRouter:
    """One Envoy of one data directory. `directory` holds its files, mode 0700: the routes file has the token."""

    def __init__(self, directory: Path, gateway: Gateway, processes: ProcessManager, binary: Path) -> None:
        self._directory = directory
        self._gateway = gateway
        self._processes = processes
        self._binary = binary
        self._admin = Admin(gateway.admin)
        self._routes: dict[RouteKey, Route] = {}
        self._retiring: dict[str, dict[str, Any]] = {}
        self._version = 0
        self._lock = asyncio.Lock()
        self._changes = RouteChanges(self._apply)

    async def start(self) -> None:
        """Start Envoy, or adopt the one that runs; returns when it serves.

        Raises `FailedPreconditionError` with Envoy's own words if it does not start, or is missing.
        """
        if not self._binary.is_file():
            raise FailedPreconditionError(f"Envoy is missing: {self._binary} (reinstall klever)", reason="NO_ENVOY")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._routes = {route.key: route for route in self._read()}
        self._version = int(time.time() * 1000)
        self._write_certificate()
        running = self._processes.get(PROCESS_ID)
        adopted = running is not None and running.phase != "Exited" and await self._admin.ready()
        if adopted and self._same_bootstrap():
            await self._write()
            return
        if running is not None:
            await self._processes.remove(PROCESS_ID)
        self._replace("bootstrap.json", _encode(bootstrap(self._gateway, self._directory)))
        self._write_clusters()
        self._write_routes()
        await self._launch()

    async def stop(self) -> None:
        await self._processes.remove(PROCESS_ID)

    async def finish(self) -> None:
        """Take no more connections, and return when no request is under way, or after the drain deadline."""
        with suppress(UnavailableError):  # there is none to drain
            await self._admin.drain_listeners()
            await self._idle("http.gateway.downstream_rq_active")

    async def look_after(self) -> None:
        """Start an Envoy again that hangs, until cancelled; one that dies is its shim's to start."""
        silent = 0
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)
            ready = await self._admin.ready()
            if time.monotonic() - began > _LOOK_SECONDS + ANSWER_SECONDS + _LATE_SECONDS:
                continue  # this process was late itself: its silence says nothing about the gateway
            silent = 0 if ready else silent + 1
            if silent < _SILENT_LOOKS:
                continue
            log.warning("the gateway (Envoy) does not answer any more: it is started again")
            try:
                async with self._lock:
                    await self._processes.stop(PROCESS_ID, grace_s=0)
                    await self._processes.remove(PROCESS_ID)
                    await self._launch()
            except KleverError as error:
                log.warning("the gateway cannot be started again now: %s", error)
            silent = 0

    async def publish(self, route: Route) -> None:
        _check(route)
        await self._changes.make(route.key, route)

    async def withdraw(self, key: RouteKey) -> None:
        if key in self._routes:
            await self._changes.make(key, None)
        prefix = f"{key.namespace}|{key.serving}|"  # also of an earlier try, which did not come to its end
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
        clusters = [cluster for target in route.targets for cluster in clusters_of(route.key, target)]
        return {"clusters.json": _encode(clusters).decode(), "routes.json": _encode(serving_routes(route)).decode()}

    def url(self, key: RouteKey) -> str:
        return f"{self._gateway.url}/seldon/{key.namespace}/{key.serving}"

    async def metrics(self) -> str:
        """Return Envoy's own metrics in Prometheus' text format."""
        return await self._admin.get("/stats/prometheus?usedonly")

    async def _apply(self, changes: Sequence[Change]) -> None:
        """Make changes live. What Envoy does not take is taken back: it must not be started with it next."""
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
        named = {c["name"] for t in (after.targets if after else ()) for c in clusters_of(before.key, t)}
        for target in before.targets:
            for cluster in clusters_of(before.key, target):
                if cluster["name"] not in named:
                    self._retiring[cluster["name"]] = cluster
        for name in named:
            self._retiring.pop(name, None)

    async def _idle(self, gauge: str) -> None:
        """Return when a gauge of the requests under way says that there is none, or after the drain deadline."""
        pattern = gauge.replace("|", "%5C%7C").replace(".", "%5C.") + "$"
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            with suppress(UnavailableError):  # it is being started again
                if (await self._admin.stats(pattern)).get(gauge, "0") == "0":
                    return
            await asyncio.sleep(0.05)

    async def _write(self) -> None:
        """Write clusters, wait until they are live, then routes, and wait again."""
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
            log = [line async for line in self._processes.logs(PROCESS_ID, tail=20)]
            why = [line for line in log if "rejected" in line][-1:]
            raise InvalidError(f"{error.message}: {''.join(why)[-500:]}", reason="ROUTE_REFUSED") from error

    def _restore(self) -> None:
        self._version += 1
        self._write_clusters()
        self._write_routes()

    def _remember(self) -> None:
        """Keep the routes for the next start, once they are live: what was live before is drained only after that."""
        self._replace("published.json", encode_routes(self._sorted()))

    def _sorted(self) -> list[Route]:
        return sorted(self._routes.values(), key=lambda route: route.key)

    def _write_clusters(self) -> str:
        version = str(self._version)
        named = {c["name"]: c for r in self._routes.values() for t in r.targets for c in clusters_of(r.key, t)}
        clusters = [*fixed_clusters(self._gateway), *{**self._retiring, **named}.values()]
        self._replace(CLUSTERS_FILE, _encode({"version_info": version, "resources": clusters}))
        return version

    def _write_routes(self) -> str:
        version = str(self._version)
        configuration = route_configuration(self._gateway, self._sorted())
        self._replace(ROUTES_FILE, _encode({"version_info": version, "resources": [configuration]}))
        return version

    def _write_certificate(self) -> None:
        """Tell Envoy where its certificate is; one that runs takes it at once."""
        if self._gateway.tls is not None:
            secrets = [certificate_secret(self._gateway.tls)]
            self._replace(CERTIFICATE_FILE, _encode({"version_info": str(self._version), "resources": secrets}))

    def _replace(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all. Raises `ExhaustedError` or `UnavailableError`.

        It stays as it was if another process owns the gateway by now.
        """
        path = self._directory / name
        with disk_errors(path):
            replace_file(path, content, mode=0o600, check=lambda: self._processes.check(PROCESS_ID))

    def _read(self) -> list[Route]:
        path = self._directory / "published.json"
        try:
            return decode_routes(path.read_bytes())
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} is damaged: {error}; remove it, the routes are made anew") from error

    def _same_bootstrap(self) -> bool:
        wanted = _encode(bootstrap(self._gateway, self._directory))
        path = self._directory / "bootstrap.json"
        return path.is_file() and path.read_bytes() == wanted

    async def _launch(self) -> None:
        self._processes.check(PROCESS_ID)
        self._gateway.admin.unlink(missing_ok=True)
        config = str(self._directory / "bootstrap.json")
        flags = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warn", "--drain-time-s", "5")
        spec = ProcessSpec(
            id=PROCESS_ID,
            argv=(str(self._binary), "-c", config, *flags),
            env={"PATH": os.defpath},
            cwd=None,
            labels={"klever": "gateway"},
            restart=True,
            grace_s=10.0,
        )
        await self._processes.start(spec)
        deadline = time.monotonic() + _START_SECONDS
        while not await self._admin.ready():
            state = self._processes.get(PROCESS_ID)
            failed = state is None or state.phase == "Exited" or state.restarts > 0
            if failed or time.monotonic() > deadline:
                words = state.message if state else ""
                log = [line async for line in self._processes.logs(PROCESS_ID, tail=5)]
                await self._processes.remove(PROCESS_ID)
                raise _not_started(self._gateway, words or " ".join(log))
            await asyncio.sleep(0.02)


def _check(route: Route) -> None:
    if route.shares:
        check_sum(route.shares)


def _not_started(gateway: Gateway, words: str) -> FailedPreconditionError:
    advice = next((advice for reason, advice in _ADVICE.items() if reason in words), "it says")
    return FailedPreconditionError(
        f"the gateway (Envoy) does not start on {gateway.host}:{gateway.port}; {advice}: {words}",
        reason="GATEWAY_FAILED",
    )


def _encode(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
