"""The platform on a cluster: Jobs and Deployments, behind the gateway of Istio or that of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from klever.api.kinds import MODEL_JOB, SERVING, Kind, Object
from klever.backends import PredictorWorkload
from klever.backends.kubernetes import Image, KubernetesBackend, ReplicaSettings
from klever.catalog.catalogue import Catalogue
from klever.cmd.data import DataDirectory
from klever.cmd.local import envoy_router
from klever.cmd.options import Options
from klever.cmd.peers import CONTROL_PLANE, select_pods, this_machine
from klever.cmd.platform import Platform
from klever.cmd.pods import PodsFile
from klever.cmd.programs import bubblewraps
from klever.cmd.provisions import Provisions
from klever.cmd.runtimes import bounded
from klever.executors import RegistryAccess, Task
from klever.executors.kubernetes import KubernetesExecutor, PodSettings
from klever.kube import KubeClient
from klever.oci.reference import Reference
from klever.process import ProcessManager, cgroups
from klever.process.sandbox.choose import choose
from klever.routers.envoy import EnvoyRouter, Gateway
from klever.routers.istio import IstioRouter
from klever.runtimes.table import create_all

__all__ = ["cluster_platform"]


@asynccontextmanager
async def cluster_platform(
    data: DataDirectory,
    options: Options,
    gateway: Gateway,
    catalogue: Catalogue,
    *,
    client: KubeClient,
    pods: PodsFile,
    provisions: Provisions,
    may_act: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Platform]:
    """Start the gateway, and follow what runs in pods already."""
    runtimes = create_all(**bounded(options.limits))
    async with AsyncExitStack() as stack:
        if pods.istio is not None:
            routing = replace(pods.istio, limits=options.limits)
            router: IstioRouter | EnvoyRouter = await stack.enter_async_context(IstioRouter(client, routing))
        else:
            processes = await _processes(data, options, may_act)
            router = await stack.enter_async_context(envoy_router(data, options, gateway, processes))
        executor = KubernetesExecutor(client, _tasks(pods, provisions))
        await stack.enter_async_context(executor)
        admitted = await asyncio.to_thread(_admitted, pods, client.config.server)
        settings = replace(_replicas(pods, provisions, options), admitted=admitted)
        backend = KubernetesBackend(client, runtimes, settings)
        await stack.enter_async_context(backend)
        yield Platform(executor, backend, router, catalogue, runtimes, router.metrics)


def _admitted(pods: PodsFile, server: str) -> tuple[Mapping[str, Any], ...]:
    """Return what may reach replicas: the control plane and the gateway."""
    if pods.gateway:
        return (CONTROL_PLANE, *pods.gateway)
    istio = pods.istio
    return (CONTROL_PLANE, select_pods(istio.namespace, istio.selector) if istio else this_machine(server))


async def _processes(data: DataDirectory, options: Options, may_act: Callable[[], bool]) -> ProcessManager:
    """Return the processes of this machine, of which the gateway is one."""
    confinement = await asyncio.to_thread(choose, bubblewraps(), options.sandbox)
    groups = await asyncio.to_thread(cgroups.find)
    return ProcessManager(data.processes, may_act, confinement, groups, log_bytes=options.limits.log_bytes)


def _tasks(pods: PodsFile, provisions: Provisions) -> PodSettings:
    return PodSettings(
        image=pods.image,
        images={name: image.name for image in pods.environments for name in image.paths},
        command=(pods.python, "-I", "-m", "klever.cmd.task"),
        python=pods.python,
        secrets=lambda task: provisions(task).secrets,
        owner=lambda task: _owner(MODEL_JOB, task.name, task.uid),
        pull_secrets=pods.pull_secrets,
        pod=pods.pod,
        user=pods.user,
    )


def _replicas(pods: PodsFile, provisions: Provisions, options: Options) -> ReplicaSettings:
    def secrets(predictor: PredictorWorkload) -> Mapping[str, Any]:
        """Return how a replica pulls its model: as a task would that reads it."""
        if not predictor.model:
            return {"platform": None, "entries": {}}
        reference = Reference.parse(predictor.model)
        access = RegistryAccess(reference.host, reference.repository)
        return provisions(Task("", "", "", "", {}, registries=(access,))).secrets

    return ReplicaSettings(
        image=pods.image,
        images={frozenset(): Image(pods.image, pods.python)}
        | {frozenset(image.paths): Image(image.name, pods.python, image.paths) for image in pods.environments},
        initializer=(pods.python, "-I", "-m", "klever.cmd.initializer"),
        secrets=secrets,
        owner=lambda workload: _owner(SERVING, workload.key.name, workload.uid),
        pull_secrets=pods.pull_secrets,
        pod=pods.pod,
        user=pods.user,
        limits=options.limits,
    )


def _owner(kind: Kind, name: str, uid: str) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": name, "uid": uid, "controller": True}
