"""The embedded platform: one process, with the gateway, runtimes and tasks in separate processes."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from urllib.parse import quote

import grpc
from prometheus_client import CollectorRegistry

import klever
from klever.api.kinds import KINDS, MODEL_JOB, SERVING, Kind
from klever.auth import Access
from klever.auth.token import token_access
from klever.backends.local.usage import ReplicaUsage
from klever.catalog.catalogue import Catalogue
from klever.catalog.embedded import EmbeddedCatalogue, Pushes
from klever.catalog.oci import OciCatalogue
from klever.cmd.control import ControlLoops, run_pushes
from klever.cmd.data import DataDirectory
from klever.cmd.features import features
from klever.cmd.local import local_platform, make_gateway
from klever.cmd.options import Options, StoreOptions
from klever.cmd.platform import Platform
from klever.cmd.plugins import plugin_directories
from klever.cmd.preflight import CONTROLLERS, SERVER
from klever.cmd.provisions import EmbeddedRegistry, Provisions
from klever.cmd.stores import Stores, open_stores
from klever.controllers.pushes import PushReconciler, ensure_namespace
from klever.controllers.render import ServingRenderer
from klever.controllers.serving.models import ModelResolver
from klever.controllers.serving.uses import VersionUses
from klever.disk import write_private
from klever.oci.layout import Layout
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.oci.table import read_table
from klever.reconcile.runner import ReconcileMetrics
from klever.registry.app import application
from klever.registry.metrics import Metrics as RegistryMetrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer
from klever.routers.envoy import Gateway
from klever.server.app import make_server
from klever.server.authored import AuthoredObjects
from klever.server.binding import Binder
from klever.server.calls import RpcMetrics
from klever.server.info import InfoHandlers
from klever.server.jobs import JobHandlers
from klever.server.metrics import MetricsServer
from klever.server.models import ModelHandlers
from klever.server.objects import Objects
from klever.server.requests import DEFAULT_NAMESPACE
from klever.server.services import JOBS, MODELS, SERVINGS, make_services
from klever.server.services import SERVER as SERVER_SERVICE
from klever.server.servings import ServingHandlers
from klever.store.validation import SchemaAdmission

__all__ = ["Embedded"]

_STOP_SECONDS = 30.0


class Embedded:
    """The running platform. `start` returns when it accepts requests."""

    def __init__(self, data: DataDirectory, options: Options, store: StoreOptions) -> None:
        self._data = data
        self._options = options
        self._store = store
        self._token = data.token()
        self._stack = AsyncExitStack()
        self._working: asyncio.Task[None] | None = None
        self.metrics_url = ""
        self._gateway = make_gateway(data, options)
        platform = Endpoint("", self._gateway.local_url, credentials=Credentials(token=self._token))
        self._table = read_table(options.registries or data.root / "registries.yaml")
        self._registries = Registries.parse(self._table, platform=platform)

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    @classmethod
    async def start(cls, data: DataDirectory, options: Options, store: StoreOptions) -> Embedded:
        """Start every part. If one raises, stop the others and raise its error."""
        platform = cls(data, options, store)
        try:
            await platform._start()
        except BaseException:
            await platform._stack.aclose()
            raise
        return platform

    async def wait(self) -> None:
        """Wait forever. Raises the error that ends the controllers."""
        if self._working is not None:
            await asyncio.shield(self._working)

    async def stop(self) -> None:
        """Drain and stop everything. With `keep_serving`, Servings continue."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working], timeout=_STOP_SECONDS)
            self._working = None
        await self._stack.aclose()

    async def _start(self) -> None:
        metrics = CollectorRegistry()
        stores = await self._stack.enter_async_context(open_stores(self._store, self._data, (*SERVER, *CONTROLLERS)))
        await ensure_namespace(stores.api, DEFAULT_NAMESPACE)

        pushed = Pushes()
        in_use = VersionUses(stores.api).find
        registry = await Registry.open(
            self._data.registry, listener=pushed.listen, limits=self._options.limits, in_use=in_use
        )
        self._stack.push_async_callback(registry.close)
        remote = OciCatalogue(self._registries, Layout(self._data.metadata), self._options.limits)
        catalogue = EmbeddedCatalogue(registry, pushed, remote, limits=self._options.limits)
        pushes = PushReconciler(stores.api, stores.controllers, catalogue)
        await self._serve_registry(registry, metrics)
        may_act = partial(self._may_act, stores)
        platform = await self._stack.enter_async_context(
            local_platform(
                self._data,
                self._options,
                self._gateway,
                self._registries,
                catalogue,
                provisions=self._provisions(),
                may_act=may_act,
            )
        )
        resolver = ModelResolver(stores.controllers, catalogue, platform.runtimes)
        await self._start_api(stores, platform, catalogue, resolver, metrics)
        await self._start_metrics(stores, platform, metrics)
        reconciles = ReconcileMetrics(metrics)
        loops = ControlLoops(stores.controllers, platform, resolver, reconciles, self._options.limits)
        self._working = asyncio.create_task(_work(stores, loops, pushes, reconciles), name="controllers")

    def _may_act(self, stores: Stores) -> bool:
        """Whether processes may be started and ended. A former leader must not, even before it notices.

        Before the controllers start and after they end, only this process uses the data directory.
        """
        return self._working is None or stores.leads()

    async def _start_metrics(self, stores: Stores, platform: Platform, metrics: CollectorRegistry) -> None:
        metrics.register(ReplicaUsage(self._data.processes, os.sysconf("SC_CLK_TCK")))
        server = MetricsServer(metrics, platform.gateway_metrics, platform.backend, stores.controllers)
        self.metrics_url = await server.start(self._options.metrics_port)
        write_private(self._data.metrics_file, self.metrics_url)
        self._stack.push_async_callback(server.stop)

    def _access(self) -> Access:
        """Return the rule of the API and the registry. On loopback everybody may read."""
        return token_access(self._token, anonymous=not self._gateway.beyond_loopback)

    async def _serve_registry(self, registry: Registry, metrics: CollectorRegistry) -> None:
        app = application(registry, self._access(), RegistryMetrics(metrics), limits=self._options.limits)
        server = RegistryServer(registry, app)
        await server.start(self._gateway.registry)
        self._stack.push_async_callback(server.stop)

    def _provisions(self) -> Provisions:
        registry = EmbeddedRegistry(self._gateway.registry, self._token)
        return Provisions(registry, self._table["registries"], self._options.limits, plugins=plugin_directories())

    async def _start_api(
        self,
        stores: Stores,
        platform: Platform,
        catalogue: Catalogue,
        resolver: ModelResolver,
        metrics: CollectorRegistry,
    ) -> None:
        limits = self._options.limits
        renderer = ServingRenderer(
            resolver,
            platform.backend,
            platform.router,
            admission=SchemaAdmission(),
            limits=limits,
            hosts=frozenset(self._table["registries"]),
        )
        objects: dict[Kind, Objects[Any]] = {kind: Objects(stores.api, kind) for kind in KINDS if kind.service}
        objects[SERVING] = AuthoredObjects(stores.api, SERVING)
        custom = {
            MODELS: ModelHandlers(stores.api, catalogue, stores.controllers, limits),
            JOBS: JobHandlers(objects[MODEL_JOB], platform.executor),
            SERVINGS: ServingHandlers(objects[SERVING], platform.backend, renderer),
            SERVER_SERVICE: InfoHandlers(
                klever.__version__, features(platform.runtimes, kubernetes=self._store.kubernetes), limits
            ),
        }
        binder = Binder(self._access(), RpcMetrics(metrics), limits)
        server = await make_server(binder, make_services(objects.values(), custom), limits)
        self._gateway.api.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{quote(str(self._gateway.api))}")  # a URI, in which `%` is an escape
        await server.start()
        self._stack.push_async_callback(_stop_server, server, binder)


async def _work(stores: Stores, loops: ControlLoops, pushes: PushReconciler, metrics: ReconcileMetrics) -> None:
    """Handle pushes to this registry always, and the objects only as the leader."""
    async with asyncio.TaskGroup() as group:
        group.create_task(run_pushes(pushes, metrics))
        group.create_task(stores.lead(loops.run))


async def _stop_server(server: grpc.aio.Server, binder: Binder) -> None:
    binder.end_streams()
    await server.stop(grace=5.0)
