"""The embedded platform: every part in one process, gateway, runtimes and tasks in processes of their own."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from klever.backends.local import LocalBackend
from klever.catalog.catalogue import Catalogue
from klever.cmd.controllers import run_controllers
from klever.cmd.data import DataDirectory
from klever.cmd.envoy import envoy_binary
from klever.cmd.stopping import stop_processes
from klever.controllers.modeljob import ModelJobReconciler
from klever.controllers.pushes import PushReconciler, ensure_namespace
from klever.controllers.render import ServingRenderer
from klever.controllers.serving import ServingReconciler
from klever.controllers.serving.models import ModelResolver
from klever.environments import EnvironmentManager
from klever.executors.local import LocalExecutor
from klever.oci import model
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.oci.registries import Credentials, Endpoint, Registries
from klever.process import ProcessManager
from klever.reconcile.runner import ReconcileMetrics
from klever.registry.app import application
from klever.registry.auth import authorize_by_token
from klever.registry.events import DeleteEvent, PushEvent
from klever.registry.metrics import Metrics as RegistryMetrics
from klever.registry.registry import Registry
from klever.registry.server import RegistryServer
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.runtimes.table import RUNTIMES, create
from klever.runtimes.triton import find as find_triton
from klever.server.app import JOBS, MODELS, SERVINGS, Services, make_server
from klever.server.auth import TokenAuthenticator
from klever.server.binding import Binder, RpcMetrics
from klever.server.jobs import JobHandlers
from klever.server.models import ModelHandlers
from klever.server.objects import DEFAULT_NAMESPACE
from klever.server.servings import ServingHandlers
from klever.store.events import EventRecorder
from klever.store.sqlite import SqliteStore
from klever.store.validation import SchemaAdmission

__all__ = ["Embedded", "Options"]

_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    host: str
    port: int
    names: tuple[str, ...]
    keep_serving: bool
    allow_commands: bool
    environments: Path
    cache_bytes: int
    path: str
    """PATH of runtimes and tasks."""


class Embedded:
    """The running platform. `start` returns when it takes requests."""

    def __init__(self, data: DataDirectory, options: Options) -> None:
        self._data = data
        self._options = options
        self._token = data.token()
        self._stack = AsyncExitStack()
        self._controllers: asyncio.Task[None] | None = None
        self._gateway = Gateway(
            host=options.host,
            port=options.port,
            api=data.sockets / "api.sock",
            registry=data.sockets / "registry.sock",
            admin=data.sockets / "envoy.sock",
            descriptors=Path(str(files("klever.v1alpha1") / "descriptor.binpb")),
            token=self._token,
            names=options.names,
        )
        platform = Endpoint("", self._gateway.url, credentials=Credentials(token=self._token))
        self._registries = Registries({}, platform)

    @property
    def url(self) -> str:
        return self._gateway.url

    @classmethod
    async def start(cls, data: DataDirectory, options: Options) -> Embedded:
        """Raises what any part raises; what was started before is stopped again."""
        platform = cls(data, options)
        try:
            await platform._start()
        except BaseException:
            await platform._stack.aclose()
            raise
        return platform

    async def wait(self) -> None:
        """Return never; raises what ends the controllers."""
        if self._controllers is not None:
            await asyncio.shield(self._controllers)

    async def stop(self) -> None:
        """Drain and stop everything; Servings go on with `keep_serving`."""
        if self._controllers is not None:
            self._controllers.cancel()
            await asyncio.wait([self._controllers], timeout=_STOP_SECONDS)
        await self._stack.aclose()

    async def _start(self) -> None:
        metrics = CollectorRegistry()
        store = await SqliteStore.open(self._data.database, SchemaAdmission())
        self._stack.push_async_callback(store.close)
        await ensure_namespace(store, DEFAULT_NAMESPACE)
        catalogue = Catalogue(self._registries, Layout(self._data.metadata))
        pushes = PushReconciler(store, catalogue)
        await self._start_registry(pushes, metrics)
        processes = ProcessManager(self._data.processes)
        router = await self._start_gateway(processes)
        backend = await self._start_backend(processes)
        executor = await self._stack.enter_async_context(
            LocalExecutor(processes, (sys.executable, "-m", "klever.cmd.task"), env={"PATH": self._options.path})
        )
        resolver = ModelResolver(store, catalogue)
        serving = ServingReconciler(store, resolver, backend, router, EventRecorder(store, "kleveross.io/serving"))
        job = ModelJobReconciler(store, executor, EventRecorder(store, "kleveross.io/modeljob"), self._task_input)
        renderer = ServingRenderer(resolver, self._runtimes().__getitem__, backend.files)
        services = (
            (MODELS, ModelHandlers(store, catalogue)),
            (JOBS, JobHandlers(store, executor)),
            (SERVINGS, ServingHandlers(store, backend, renderer)),
        )
        await self._start_api(services, metrics)
        running = run_controllers(
            store=store,
            jobs=job,
            servings=serving,
            pushes=pushes,
            executor=executor,
            backend=backend,
            metrics=ReconcileMetrics(metrics),
        )
        self._controllers = asyncio.create_task(running, name="controllers")

    async def _start_registry(self, pushes: PushReconciler, metrics: CollectorRegistry) -> None:
        async def notify(event: PushEvent | DeleteEvent) -> None:
            if isinstance(event, PushEvent):
                await pushes.notify(event.repository, event.tag)

        registry = await Registry.open(self._data.registry, listener=notify)
        self._stack.push_async_callback(registry.close)
        authorize = authorize_by_token(self._token, reads=self._gateway.beyond_loopback)
        server = RegistryServer(registry, application(registry, authorize, RegistryMetrics(metrics)))
        await server.start(self._gateway.registry)
        self._stack.push_async_callback(server.stop)

    async def _start_gateway(self, processes: ProcessManager) -> EnvoyRouter:
        router = EnvoyRouter(self._data.envoy, self._gateway, processes, envoy_binary())
        await router.start()
        if not self._options.keep_serving:
            # Called when nobody looks after replicas any more, who would start them again.
            self._stack.push_async_callback(stop_processes, processes)
        return router

    async def _start_backend(self, processes: ProcessManager) -> LocalBackend:
        backend = LocalBackend(
            processes=processes,
            environments=EnvironmentManager(self._options.environments),
            runtimes=self._runtimes(),
            models=self._data.models,
            fetch=self._fetch,
            cache_bytes=self._options.cache_bytes,
            base_env={"PATH": self._options.path},
            allow_commands=self._options.allow_commands,
        )
        await backend.start()
        self._stack.push_async_callback(backend.close)
        return backend

    def _runtimes(self) -> dict[str, Any]:
        options: dict[str, dict[str, Any]] = {"triton": {"installed": find_triton(Path("/opt/tritonserver"))}}
        return {name: create(name, **options.get(name, {})) for name in RUNTIMES}

    def _fetch(self, reference: str, content: str, into: Path) -> None:  # noqa: ARG002 - the cache's interface
        """Pull a pinned model and unpack it; the layout goes again."""
        parsed = Reference.parse(reference)
        client = RegistryClient(self._registries.resolve(parsed))
        layout = Layout(into / ".layout")
        try:
            model.pull(parsed, layout, client)
            model.export(parsed, layout, into)
        finally:
            client.close()
            shutil.rmtree(layout.root, ignore_errors=True)

    def _task_input(self) -> dict[str, Any]:
        return {"registry": {"url": self._gateway.url, "tokenFile": str(self._data.token_file)}}

    async def _start_api(self, services: Services, metrics: CollectorRegistry) -> None:
        authenticator = TokenAuthenticator(self._token, guard_reads=self._gateway.beyond_loopback)
        server = await make_server(Binder(authenticator, RpcMetrics(metrics)), services)
        self._gateway.api.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{self._gateway.api}")
        await server.start()
        self._stack.push_async_callback(_stop_server, server)


async def _stop_server(server: grpc.aio.Server) -> None:
    await server.stop(grace=5.0)
