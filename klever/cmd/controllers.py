"""`klever controllers`: only the control loops, over objects in an API server.

Several of them with one data directory take turns: the holder of the Lease works there, and adopts the processes of its
predecessor.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from klever.backends.local.usage import ReplicaUsage
from klever.catalog.oci import OciCatalogue
from klever.cmd.cluster import cluster_platform
from klever.cmd.control import ControlLoops, run_pushes
from klever.cmd.data import DataDirectory
from klever.cmd.local import local_platform, make_gateway
from klever.cmd.logs import add_log_flags, set_up_logging
from klever.cmd.memory import return_freed_memory
from klever.cmd.migrations import migrate
from klever.cmd.options import Options, StoreOptions, add_machine_flags, add_store_flags, machine_options, store_options
from klever.cmd.plugins import log_plugins, plugin_directories
from klever.cmd.pods import PodsFile, read_pods
from klever.cmd.preflight import CONTROLLERS, ISTIO, PODS, Right
from klever.cmd.provisions import Provisions, RemoteRegistry
from klever.cmd.stores import Stores, open_stores
from klever.controllers.pushes import PushReconciler
from klever.controllers.serving.models import ModelResolver
from klever.disk import write_private
from klever.limits import Limits
from klever.oci.layout import Layout
from klever.oci.registries import Credentials, Endpoint, Registries, check_credentials
from klever.oci.table import read_table
from klever.reconcile.runner import ReconcileMetrics
from klever.server.metrics import MetricsServer

EXAMPLES = """  klever controllers --registry http://127.0.0.1:8080 --registry-token-file token --port 8090
  klever controllers --kubeconfig admin.conf --registry https://harbor.example --data /var/lib/klever
  klever controllers --registry https://klever.example.com:8080 --registry-token-file token --registry-ca-file ca.pem"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_machine_flags(parser)
    add_log_flags(parser)
    add_store_flags(parser)
    parser.add_argument("--registry", required=True, metavar="URL", help="the registry to pull models from")
    parser.add_argument("--registry-token-file", type=Path, metavar="FILE", help="the registry's token")
    parser.add_argument(
        "--registry-ca-file",
        type=Path,
        metavar="FILE",
        help="certificates to trust for the registry instead of the system's, in PEM",
    )
    parser.add_argument(
        "--pods",
        type=Path,
        metavar="FILE",
        help="run jobs and Servings as pods of the cluster, with the images of this file (docs/kubernetes.md)",
    )


def run(args: argparse.Namespace) -> int:
    return_freed_memory()
    set_up_logging(args)
    log_plugins()
    options = machine_options(args, keep_serving=True)
    table = read_table(options.registries or args.data / "registries.yaml")
    source = _Source(
        url=args.registry,
        token_file=args.registry_token_file and args.registry_token_file.absolute(),
        ca=args.registry_ca_file and args.registry_ca_file.absolute(),
        plaintext=args.plaintext,
        table=table,
        limits=options.limits,
    )
    check_credentials(source.endpoint())
    data = DataDirectory(args.data.absolute())
    data.prepare()
    with data.lock(shared=True):
        migrate(data.root)
        pods = read_pods(args.pods) if args.pods else None
        asyncio.run(_serve(data, options, store_options(args, kubernetes=True), source, pods))
    return 0


@dataclass(frozen=True, slots=True)
class _Source:
    """The registry from which models are pulled."""

    url: str
    token_file: Path | None
    ca: Path | None
    plaintext: bool
    """Whether it may receive the token in plain HTTP beyond loopback."""
    table: dict[str, Any]
    """Further registries."""
    limits: Limits

    def endpoint(self) -> Endpoint:
        token = self._token()
        credentials = Credentials(token=token) if token else None
        return Endpoint("", self.url, credentials, self.ca, plaintext=self.plaintext)

    def provisions(self) -> Provisions:
        registry = RemoteRegistry(self.url, self._token, self.ca, self.plaintext)
        return Provisions(registry, self.table["registries"], self.limits, plugins=plugin_directories())

    def _token(self) -> str:
        return self.token_file.read_text().strip() if self.token_file else ""


def _rights(pods: PodsFile | None) -> tuple[Right, ...]:
    routing = ISTIO if pods and pods.istio else ()
    return (*CONTROLLERS, *(PODS if pods else ()), *routing)


async def _serve(
    data: DataDirectory, options: Options, store: StoreOptions, source: _Source, pods: PodsFile | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    # Neither a shared data directory nor a pid identifies this process.
    identity = f"{socket.gethostname()}_{os.getpid()}"
    async with open_stores(store, data, _rights(pods), identity) as stores:
        print(f"klever controllers: {identity} is waiting to become the leader", flush=True)
        leading = asyncio.create_task(stores.lead(partial(_work, data, options, stores, source, pods)))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((leading, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        leading.cancel()
        await asyncio.gather(leading, stopping, return_exceptions=True)
        if leading.done() and not leading.cancelled() and (error := leading.exception()) is not None:
            raise error


async def _work(data: DataDirectory, options: Options, stores: Stores, source: _Source, pods: PodsFile | None) -> None:
    """Adopt what runs and run the control loops."""
    registries = Registries.parse(source.table, platform=source.endpoint())
    catalogue = OciCatalogue(registries, Layout(data.metadata), options.limits)
    gateway = make_gateway(data, options)
    provisions, may_act = source.provisions(), stores.leads
    if pods is not None and stores.cluster is not None:
        running = cluster_platform(
            data,
            options,
            gateway,
            catalogue,
            client=stores.cluster,
            pods=pods,
            provisions=provisions,
            may_act=may_act,
        )
    else:
        running = local_platform(data, options, gateway, registries, catalogue, provisions=provisions, may_act=may_act)
    async with running as platform:
        registry = CollectorRegistry()
        registry.register(ReplicaUsage(data.processes, os.sysconf("SC_CLK_TCK")))
        server = MetricsServer(registry, platform.gateway_metrics, platform.backend, stores.controllers)
        url = await server.start(options.metrics_port)
        write_private(data.metrics_file, url)
        print(f"klever controllers: it is the leader (metrics at {url})", flush=True)
        try:
            metrics = ReconcileMetrics(registry)
            resolver = ModelResolver(stores.controllers, platform.catalogue, platform.runtimes)
            loops = ControlLoops(stores.controllers, platform, resolver, metrics, options.limits)
            pushes = PushReconciler(stores.controllers, stores.controllers, catalogue, makes_projects=False)
            async with asyncio.TaskGroup() as group:
                group.create_task(run_pushes(pushes, metrics))
                group.create_task(loops.run())
        finally:
            await server.stop()
