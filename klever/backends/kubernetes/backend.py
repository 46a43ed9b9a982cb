"""The native backend of a Kubernetes cluster: a Deployment and a Service for each workload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

import yaml

from klever.api.kinds import Kind, Object
from klever.api.quantities import read_quantity
from klever.backends import Instance, InstancePhase, PredictorWorkload, Rendering, ServingKey, Workload
from klever.backends.kubernetes.instances import read_instances
from klever.backends.kubernetes.manifests import (
    RUNTIME,
    SERVER,
    SERVING,
    WORKLOAD,
    deployment,
    object_name,
    secret,
    service,
)
from klever.backends.kubernetes.settings import Image, ReplicaSettings
from klever.changes import Broadcast
from klever.errors import AlreadyExistsError, DeadlineError, FieldViolation, InvalidError, NotFoundError
from klever.kube.client import KubeClient
from klever.kube.kinds import DEPLOYMENT, POD, SECRET, SERVICE
from klever.kube.reflector import Reflector
from klever.runtimes import Guard, Model, Runtime
from klever.runtimes.protocols import OPEN_INFERENCE

__all__ = ["KubernetesBackend"]

_KINDS: Final = (DEPLOYMENT, POD, SERVICE)
_END_S: Final = 120.0


class KubernetesBackend:
    """Implements `klever.backends.Backend`. Use it as a context: it follows its Deployments and pods only inside."""

    routes_shares = False

    def __init__(self, client: KubeClient, runtimes: Mapping[str, Runtime], settings: ReplicaSettings) -> None:
        self._client = client
        self._runtimes = runtimes
        self._settings = settings
        self._reflectors = {kind: Reflector(client, kind, labels=WORKLOAD) for kind in _KINDS}
        self._refused: dict[ServingKey, dict[str, Instance]] = {}
        """The workloads that can never run, as instances, by their ids."""
        self._changes: Broadcast[ServingKey] = Broadcast()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Learn which workloads there are."""
        self._tasks = [
            asyncio.create_task(one.run(), name=f"replicas' {one.kind}s") for one in self._reflectors.values()
        ]
        for kind, reflector in self._reflectors.items():
            await reflector.synced()
            self._tasks.append(asyncio.create_task(self._follow(kind), name=f"changes of replicas' {kind}s"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the replicas to the next backend."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self, predictor: PredictorWorkload) -> tuple[FieldViolation, ...]:
        return tuple(
            FieldViolation(
                f"resources.{part}.{name}", f"invalid quantity {quantity!r}: must be a number such as 500m or 512Mi"
            )
            for part, quantities in predictor.resources.items()
            for name, quantity in quantities.items()
            if read_quantity(quantity) is None
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
        refused: dict[str, Instance] = {}
        for predictor in workload.predictors:
            try:
                self._runtime(predictor)
                image = self._image(workload.key, predictor)
            except InvalidError as error:
                refused[predictor.id] = Instance(
                    predictor.predictor, predictor.predictor, predictor.id, InstancePhase.FAILED,
                    error.reason, error.message, trust=predictor.trust,
                )  # fmt: skip
                continue
            await self._apply(workload, predictor, image)
        self._refused[workload.key] = refused
        kept = workload.keep | {predictor.id for predictor in workload.predictors}
        for made in self._deployments(workload.key):
            if made["metadata"]["labels"][WORKLOAD] not in kept:
                await self._delete(made)
        self._changes.tell(workload.key)

    async def observe(self, key: ServingKey) -> tuple[Instance, ...]:
        found = [*self._refused.get(key, {}).values()]
        pods = self._pods(key)
        for made in self._deployments(key):
            workload = made["metadata"]["labels"][WORKLOAD]
            mine = [pod for pod in pods if pod["metadata"]["labels"][WORKLOAD] == workload]
            guard = self._guard(made)
            found += [replace(one, guard=guard) for one in read_instances(made, mine, self._host(made))]
        return tuple(sorted(found, key=lambda one: one.name))

    async def remove(self, key: ServingKey) -> None:
        self._refused.pop(key, None)
        for made in self._deployments(key):
            await self._delete(made)
        await self._until(lambda: not self._deployments(key) and not self._pods(key), key)

    async def list(self) -> tuple[ServingKey, ...]:
        return tuple(sorted({_key(made) for made in self._reflectors[DEPLOYMENT].list()}))

    def logs(self, key: ServingKey, instance: str, *, tail: int | None, follow: bool) -> AsyncIterator[str]:
        if all(pod["metadata"]["name"] != instance for pod in self._pods(key)):
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
        needed = frozenset(self._runtime(predictor).environments(model))
        try:
            return self._settings.images[needed]
        except KeyError as error:
            names = ", ".join(sorted(needed)) or "none"
            raise InvalidError(f"no image is configured for the environments {names}") from error

    async def _apply(self, workload: Workload, predictor: PredictorWorkload, image: Image) -> None:
        with suppress(AlreadyExistsError):  # its content follows from the id of the workload
            await self._client.create(SECRET, secret(workload, predictor, image, self._settings))
        await self._client.apply(SERVICE, service(workload, predictor, self._settings))
        made = await self._client.apply(DEPLOYMENT, deployment(workload, predictor, image, self._settings))
        self._reflectors[DEPLOYMENT].note(made)

    async def _delete(self, made: Object) -> None:
        metadata = made["metadata"]
        for kind in (DEPLOYMENT, SERVICE, SECRET):
            with suppress(NotFoundError):
                await self._client.delete(kind, metadata["namespace"], metadata["name"])

    def _deployments(self, key: ServingKey) -> tuple[Object, ...]:
        return tuple(made for made in self._reflectors[DEPLOYMENT].list(key.namespace) if _key(made) == key)

    def _guard(self, made: Object) -> Guard:
        """Return the check of requests: all servers of the Open Inference Protocol in pods are Tritons."""
        runtime = self._runtimes.get(made["metadata"].get("annotations", {}).get(RUNTIME, ""))
        return Guard.TRITON if runtime is not None and runtime.protocol is OPEN_INFERENCE else Guard.NONE

    def _host(self, made: Object) -> str:
        """Return the address of a workload's Service, which is that of all its replicas."""
        service = self._reflectors[SERVICE].get(made["metadata"]["namespace"], made["metadata"]["name"])
        return str(service["spec"].get("clusterIP", "")) if service else ""

    def _pods(self, key: ServingKey) -> tuple[Object, ...]:
        return tuple(pod for pod in self._reflectors[POD].list(key.namespace) if _key(pod) == key)

    async def _until(self, condition: Callable[[], bool], key: ServingKey) -> None:
        with self._changes.subscribe() as changes:
            try:
                async with asyncio.timeout(_END_S):
                    while not condition():
                        await changes.next()
            except TimeoutError as error:
                raise DeadlineError(f"the pods of serving {key} have not ended within {_END_S:g} s") from error

    async def _follow(self, kind: Kind) -> None:
        with self._reflectors[kind].subscribe() as subscription:
            while True:
                _, obj = await subscription.next()
                self._changes.tell(_key(obj))


def _key(obj: Object) -> ServingKey:
    metadata = obj["metadata"]
    return ServingKey(metadata["namespace"], metadata["labels"][SERVING])
