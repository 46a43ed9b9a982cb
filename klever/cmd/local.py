"""The platform on this machine: the gateway, runtimes and tasks in separate processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

from klever.artifacts import model
from klever.backends.local import Commands, LocalBackend
from klever.catalog.catalogue import Catalogue
from klever.cmd.certificates import check_pair, self_signed
from klever.cmd.data import DataDirectory
from klever.cmd.names import own_names
from klever.cmd.options import Options
from klever.cmd.platform import Platform
from klever.cmd.programs import bubblewraps, envoy_binary, openscoring_jar
from klever.cmd.provisions import Provisions
from klever.cmd.runtimes import bounded
from klever.cmd.stopping import stop_processes
from klever.environments import EnvironmentManager
from klever.errors import UnavailableError
from klever.executors.local import LocalExecutor
from klever.limits import Limits
from klever.oci.client import RegistryClient
from klever.oci.layout import Layout
from klever.oci.reference import Reference
from klever.oci.registries import Registries
from klever.process import ProcessManager, cgroups
from klever.process.sandbox.choose import choose
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.runtimes import Runtime
from klever.runtimes.table import create_all
from klever.runtimes.triton import find as find_triton

__all__ = ["envoy_router", "local_platform", "make_gateway"]

_TASK: Final = (sys.executable, "-I", "-m", "klever.cmd.task")
_TASK_ENV: Final = {"PATH": os.defpath}


@asynccontextmanager
async def local_platform(
    data: DataDirectory,
    options: Options,
    gateway: Gateway,
    registries: Registries,
    catalogue: Catalogue,
    *,
    provisions: Provisions,
    may_act: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Platform]:
    """Start the parts and adopt running processes. With `options.keep_serving` they keep running afterwards.

    It starts and ends processes only while `may_act`.
    """
    confinement = await asyncio.to_thread(choose, bubblewraps(), options.sandbox)
    groups = await asyncio.to_thread(cgroups.find)
    processes = ProcessManager(data.processes, may_act, confinement, groups, log_bytes=options.limits.log_bytes)
    stopping = threading.Event()
    runtimes = _runtimes(options)
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(envoy_router(data, options, gateway, processes))
        environments = EnvironmentManager(options.environments)
        backend = LocalBackend(
            processes=processes,
            environments=environments,
            runtimes=runtimes,
            models=data.models,
            fetch=partial(_fetch, registries, stopping, limits=options.limits),
            cache_bytes=options.cache_bytes,
            sockets=data.sockets / "replicas",
            commands=Commands(options.path, options.command_paths, options.command_network),
        )
        await backend.start()
        stack.push_async_callback(backend.close)
        stack.callback(stopping.set)
        executor = LocalExecutor(processes, _TASK, env=_TASK_ENV, environments=environments, provide=provisions)
        await stack.enter_async_context(executor)
        yield Platform(executor, backend, router, catalogue, runtimes, router.metrics)


def _runtimes(options: Options) -> dict[str, Runtime]:
    settings = bounded(options.limits)
    settings["triton"]["installed"] = find_triton(Path("/opt/tritonserver"))
    settings["openscoring"]["jar"] = openscoring_jar(options.openscoring, options.path)
    return create_all(**settings)


@asynccontextmanager
async def envoy_router(
    data: DataDirectory, options: Options, gateway: Gateway, processes: ProcessManager
) -> AsyncIterator[EnvoyRouter]:
    """Start the gateway of this machine, or adopt the one that runs, and look after it."""
    data.token()  # creates the file, which the access server reads
    access = (sys.executable, "-I", "-m", "klever.cmd.access", str(gateway.access), str(data.token_file))
    router = EnvoyRouter(data.envoy, gateway, processes, envoy_binary(), access)
    async with AsyncExitStack() as stack:
        await router.start()
        if not options.keep_serving:
            # Called after the supervision of the gateway and replicas has ended, because it would restart them.
            stack.push_async_callback(stop_processes, processes)
            stack.push_async_callback(router.finish)
        watching = asyncio.create_task(router.look_after(), name="gateway")
        stack.push_async_callback(_end, watching)
        yield router


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def make_gateway(data: DataDirectory, options: Options) -> Gateway:
    """Return the gateway's settings. Raises `FailedPreconditionError` if the certificate cannot be used."""
    gateway = Gateway(
        host=options.host,
        port=options.port,
        api=data.sockets / "api.sock",
        registry=data.sockets / "registry" / "registry.sock",
        admin=data.sockets / "envoy.sock",
        descriptors=Path(str(files("klever.v1alpha1") / "descriptor.binpb")),
        access=data.sockets / "access.sock",
        names=(*options.names, *(own_names() if options.host == "0.0.0.0" else ())),  # noqa: S104 - compared
        limits=options.limits,
    )
    if options.tls_self_signed:
        return replace(gateway, tls=self_signed(data.tls, gateway.hosts))
    if options.tls_certificate and options.tls_key:
        return replace(gateway, tls=check_pair(options.tls_certificate, options.tls_key))
    return gateway


def _fetch(
    registries: Registries,
    stopping: threading.Event,
    reference: str,
    content: str,  # noqa: ARG001 - a `Fetch` is given it; the reference is pinned already
    into: Path,
    *,
    limits: Limits,
) -> None:
    """Pull a pinned model, unpack it, and remove the layout."""

    def go_on(_done: int, _total: int) -> None:
        if stopping.is_set():
            raise UnavailableError(f"{reference}: the pull was interrupted, because the platform is stopping")

    go_on(0, 0)
    parsed = Reference.parse(reference)
    client = RegistryClient(registries.resolve(parsed))
    layout = Layout(into / ".layout")
    try:
        model.pull(parsed, layout, client, progress=go_on)
        go_on(0, 0)
        model.export(parsed, layout, into, limits=limits)
    finally:
        client.close()
        shutil.rmtree(layout.root, ignore_errors=True)
