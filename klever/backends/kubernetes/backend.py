"""The native backend of a Kubernetes cluster: a Deployment and a Service for each workload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

import yaml

from klever.api.kinds import Object
from klever.backends import Instance, InstancePhase, PredictorWorkload, Rendering, ServingKey, Workload
from klever.backends.kubernetes.children import Children
from klever.backends.kubernetes.handover import hand_over
from klever.backends.kubernetes.instances import read_instances
from klever.backends.kubernetes.manifests import RUNTIME, SERVER, WORKLOAD, deployment, object_name, secret, service
from klever.backends.kubernetes.network import network_policy, policy_name
from klever.backends.kubernetes.overrides import check_overrides
from klever.backends.kubernetes.scaling import autoscaler, budget
from klever.backends.kubernetes.settings import Image, ReplicaSettings
from klever.changes import Broadcast
from klever.errors import AlreadyExistsError, DeadlineError, FieldViolation, InvalidError, NotFoundError
from klever.kube.client import KubeClient
from klever.kube.kinds import AUTOSCALER, DEPLOYMENT, DISRUPTION_BUDGET, NETWORK_POLICY, POD, SECRET, SERVICE
from klever.kube.quantities import check_quantities
from klever.kube.secrets import check_secrets
from klever.runtimes import Guard, Model, Runtime
from klever.runtimes.protocols import OPEN_INFERENCE

__all__ = ["KubernetesBackend"]

_END_S: Final = 120.0


class KubernetesBackend:
    """Implements `klever.backends.Backend`. Use it as a context: it follows its Deployments and pods only inside."""

    routes_shares = False

    def __init__(self, client: KubeClient, runtimes: Mapping[str, Runtime], settings: ReplicaSettings) -> None:
        self._client = client
        self._runtimes = runtimes
        self._settings = settings
        self._children = Children(client)
        self._refused: dict[ServingKey, dict[str, Instance]] = {}
        """The workloads that can never run, as instances, by their ids."""
        self._changes: Broadcast[ServingKey] = Broadcast()

    async def __aenter__(self) -> Self:
        """Learn which workloads there are."""
        await self._children.start(self._changes.tell)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the replicas to the next backend."""
        await self._children.stop()

    def check(self, predictor: PredictorWorkload) -> tuple[FieldViolation, ...]:
        return (
            *check_quantities(predictor.resources),
            *check_secrets(predictor.env, "env"),
            *check_overrides(predictor),
        )

    async def render(self, key: ServingKey, predictor: PredictorWorkload, files: Sequence[str]) -> Rendering:
        runtime, image = self._runtime(predictor), self._image(key, predictor)
        runtime.check(Model(key.name, predictor.format, tuple(sorted(files)), predictor.signature))
        workload = Workload(key, "", (predictor,))
        objects = (deployment(workload, predictor, image, self._settings), service(workload, predictor, self._settings))
        written = {f"{obj['kind'].lower()}.yaml": yaml.safe_dump(obj, sort_keys=False) for obj in objects}
        address = f"{object_name(key, predictor.id)}.{key.namespace}.svc.cluster.local:8000"
        ready = Instance(predictor.predictor, predictor.predictor, predictor.id, InstancePhase.READY, http=address)
        return Rendering(written, ready)

    async def ensure(self, workload: Workload) -> None:
        kept = workload.keep | {predictor.id for predictor in workload.predictors}
        for made in self._deployments(workload.key):
            if made["metadata"]["labels"][WORKLOAD] not in kept and workload.after_the_old:
                await self._children.delete_workload(made)
        await self._children.apply(NETWORK_POLICY, network_policy(workload, self._settings))
        refused: dict[str, Instance] = {}
        for predictor in workload.predictors:
            try:
                image = self._image(workload.key, predictor)
            except InvalidError as error:
                refused[predictor.id] = Instance(
                    predictor.predictor, predictor.predictor, predictor.id, InstancePhase.FAILED,
                    error.reason, error.message, trust=predictor.trust,
                )  # fmt: skip
                continue
            if not (workload.after_the_old and self._others(workload.key, predictor.id, kept)):
                await self._apply(workload, predictor, image)
        self._refused[workload.key] = refused
        for made in self._deployments(workload.key):
            if made["metadata"]["labels"][WORKLOAD] not in kept:
                await self._children.delete_workload(made)
        self._changes.tell(workload.key)

    async def observe(self, key: ServingKey) -> tuple[Instance, ...]:
        found = [*self._refused.get(key, {}).values()]
        pods = self._children.of(POD, key)
        for made in self._deployments(key):
            workload = made["metadata"]["labels"][WORKLOAD]
            mine = [pod for pod in pods if pod["metadata"]["labels"][WORKLOAD] == workload]
            guard = self._guard(made)
            found += [replace(one, guard=guard) for one in read_instances(made, mine, self._host(made))]
        return tuple(sorted(found, key=lambda one: one.name))

    async def remove(self, key: ServingKey) -> None:
        self._refused.pop(key, None)
        for made in self._deployments(key):
            await self._children.delete_workload(made)
        await self._until(lambda: not self._deployments(key) and not self._children.of(POD, key), key)
        if self._children.of(NETWORK_POLICY, key):
            await self._children.delete(NETWORK_POLICY, key.namespace, policy_name(key))

    async def list(self) -> tuple[ServingKey, ...]:
        return self._children.keys()

    def logs(self, key: ServingKey, instance: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        if all(pod["metadata"]["name"] != instance for pod in self._children.of(POD, key)):
            raise NotFoundError(f"serving {key} has no replica {instance!r}")
        return self._client.log(key.namespace, instance, SERVER, follow=follow, tail=tail)

    async def watch(self) -> AsyncIterator[ServingKey]:
        async for key in self._changes.watch(await self.list()):
            yield key

    def _runtime(self, predictor: PredictorWorkload) -> Runtime:
        try:
            return self._runtimes[predictor.runtime]
        except KeyError as error:
            known = ", ".join(sorted(self._runtimes))
            raise InvalidError(f"unknown runtime {predictor.runtime!r}: must be one of {known}") from error

    def _image(self, key: ServingKey, predictor: PredictorWorkload) -> Image:
        model = Model(key.name, predictor.format, (), predictor.signature)
        if predictor.image:
            return Image(predictor.image)
        needed = frozenset(self._runtime(predictor).environments(model))
        try:
            return self._settings.images[needed]
        except KeyError as error:
            names = ", ".join(sorted(needed)) or "none"
            raise InvalidError(f"no image is configured for the environments {names}") from error

    async def _apply(self, workload: Workload, predictor: PredictorWorkload, image: Image) -> None:
        settings, key, name = self._settings, workload.key, object_name(workload.key, predictor.id)
        with suppress(AlreadyExistsError):  # its content follows from the id of the workload
            await self._client.create(SECRET, secret(workload, predictor, image, settings))
        await self._children.apply(SERVICE, service(workload, predictor, settings))
        scaler = autoscaler(workload, predictor, settings)
        if scaler is None:
            await self._children.keep([(AUTOSCALER, None)], key.namespace, name)
        made = deployment(workload, predictor, image, settings)
        await hand_over(self._client, self._children.get(DEPLOYMENT, key.namespace, name), made, predictor)
        await self._children.apply(DEPLOYMENT, made)
        scaling = ((AUTOSCALER, scaler), (DISRUPTION_BUDGET, budget(workload, predictor, settings)))
        await self._children.keep(scaling, key.namespace, name)

    def _others(self, key: ServingKey, workload: str, kept: frozenset[str]) -> bool:
        """Return whether pods of a workload that is to end are still there, while this one has not started."""
        if any(made["metadata"]["labels"][WORKLOAD] == workload for made in self._deployments(key)):
            return False
        return any(pod["metadata"]["labels"][WORKLOAD] not in kept for pod in self._children.of(POD, key))

    def _deployments(self, key: ServingKey) -> tuple[Object, ...]:
        return self._children.of(DEPLOYMENT, key)

    def _guard(self, made: Object) -> Guard:
        """Return the check of requests: all servers of the Open Inference Protocol in pods are Tritons."""
        runtime = self._runtimes.get(made["metadata"].get("annotations", {}).get(RUNTIME, ""))
        return Guard.TRITON if runtime is not None and runtime.protocol is OPEN_INFERENCE else Guard.NONE

    def _host(self, made: Object) -> str:
        """Return the address of a workload's Service, which is that of all its replicas."""
        service = self._children.get(SERVICE, made["metadata"]["namespace"], made["metadata"]["name"])
        return str(service["spec"].get("clusterIP", "")) if service else ""

    async def _until(self, condition: Callable[[], bool], key: ServingKey) -> None:
        with self._changes.subscribe() as changes:
            try:
                async with asyncio.timeout(_END_S):
                    while not condition():
                        await changes.next()
            except TimeoutError as error:
                raise DeadlineError(f"the pods of serving {key} have not ended within {_END_S:g} s") from error
