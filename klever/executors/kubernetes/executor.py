"""The executor of a Kubernetes cluster: a batch Job for each task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from klever.api.kinds import Kind, Object
from klever.changes import Broadcast
from klever.errors import AlreadyExistsError, DeadlineError, FailedPreconditionError, FieldViolation, NotFoundError
from klever.executors import Task, TaskPhase, TaskState
from klever.executors.kubernetes.logs import PodLog
from klever.executors.kubernetes.manifests import (
    CANCELLED,
    TASK,
    check_containers,
    job,
    network_policy,
    secret,
    secret_name,
)
from klever.executors.kubernetes.resources import check_step_resources
from klever.executors.kubernetes.settings import PodSettings
from klever.executors.kubernetes.states import ended, task_state
from klever.kube.client import KubeClient
from klever.kube.kinds import JOB, NETWORK_POLICY, POD, SECRET
from klever.kube.reflector import Reflector
from klever.kube.secrets import check_secrets

__all__ = ["KubernetesExecutor"]

_END_S: Final = 60.0
"""How long `cancel` and `remove` wait for the end of a pod: its grace period, plus time for a busy kubelet."""


class KubernetesExecutor:
    """Runs each task as a Job with the task's name. An async context manager, which watches its Jobs and pods."""

    def __init__(self, client: KubeClient, settings: PodSettings) -> None:
        self._client = client
        self._settings = settings
        self._reflectors = {kind: Reflector(client, kind, labels=TASK) for kind in (JOB, POD)}
        self._jobs: dict[str, Object] = {}
        self._pods: dict[str, Object] = {}
        self._changes: Broadcast[str] = Broadcast()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Read the existing tasks."""
        self._tasks = [asyncio.create_task(one.run(), name=f"tasks' {one.kind}s") for one in self._reflectors.values()]
        for reflector in self._reflectors.values():
            await reflector.synced()
        for kind, reflector in self._reflectors.items():
            for obj in reflector.list():
                self._note(self._index(kind), "ADDED", obj)
            self._tasks.append(asyncio.create_task(self._follow(kind), name=f"changes of tasks' {kind}s"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the Jobs to the next executor."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self, task: Task) -> tuple[FieldViolation, ...]:
        return (
            *(
                FieldViolation(f"env[{variable['name']}].value", "must not contain a NUL character")
                for variable in task.env
                if "\0" in variable.get("value", "")
            ),
            *check_secrets(task.env, "env"),
            *check_step_resources(task),
            *check_containers(task.init_containers),
        )

    async def ensure(self, task: Task) -> None:
        if task.uid in self._jobs:
            return
        await self._prepare(task)
        try:
            created = await self._client.create(JOB, job(task, self._settings))
        except AlreadyExistsError as error:
            created = await self._client.get(JOB, task.namespace, task.name)
            if created["metadata"].get("labels", {}).get(TASK) != task.uid:
                raise FailedPreconditionError(
                    f"Job {task.namespace}/{task.name} already exists and belongs to another owner: delete or rename it"
                ) from error
        self._note(self._jobs, "ADDED", created)

    async def observe(self, uid: str) -> TaskState | None:
        found = self._jobs.get(uid)
        return task_state(found, self._pods.get(uid)) if found else None

    async def list(self) -> tuple[TaskState, ...]:
        return tuple(task_state(self._jobs[uid], self._pods.get(uid)) for uid in sorted(self._jobs))

    async def cancel(self, uid: str) -> None:
        state = await self.observe(uid)
        if state is None or state.phase not in (TaskPhase.PENDING, TaskPhase.RUNNING):
            return
        with suppress(NotFoundError):
            await self._end(state)
        await self._until(uid, lambda: uid not in self._jobs or self._is_over(uid))

    async def remove(self, uid: str) -> None:
        found = self._jobs.get(uid)
        if found is None:
            return
        metadata = found["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        with suppress(NotFoundError):
            await self._client.delete(JOB, namespace, name, uid=metadata["uid"])
        for kind, other in ((SECRET, secret_name(name)), (NETWORK_POLICY, name)):
            with suppress(NotFoundError):
                await self._client.delete(kind, namespace, other)
        await self._until(uid, lambda: uid not in self._jobs and uid not in self._pods)

    def logs(self, uid: str, *, tail: int | None = None, follow: bool = False) -> AsyncIterator[str]:
        if uid not in self._pods:
            raise NotFoundError(f"task {uid} has not started")
        return PodLog(self._client, lambda: self._pods.get(uid), self._changes.subscribe).lines(tail, follow=follow)

    async def watch(self) -> AsyncIterator[str]:
        known = set[str]()
        async for uid in self._changes.watch(sorted(self._jobs)):
            if uid in self._jobs:
                known.add(uid)
            elif uid not in known:
                continue  # a late pod of a task that was removed
            elif uid not in self._pods:
                known.discard(uid)
            yield uid

    async def _prepare(self, task: Task) -> None:
        """Create what the pod needs, unless an earlier attempt failed before it created the Job."""
        for kind, obj in (
            (SECRET, secret(task, self._settings)),
            (NETWORK_POLICY, network_policy(task, self._settings)),
        ):
            with suppress(AlreadyExistsError):
                await self._client.create(kind, obj)

    async def _end(self, state: TaskState) -> None:
        """Stop the Job from creating pods, and let the kubelet end the existing one, whose log stays.

        Lowering the pod's deadline ends it and keeps it, whereas suspending the Job would delete it. Kubernetes allows
        this for a running pod (ValidatePodUpdate).
        """
        mark = {"metadata": {"annotations": {CANCELLED: "true"}}}
        pod = self._pods.get(state.uid)
        if pod is None or not pod["spec"].get("nodeName"):
            await self._client.patch(JOB, state.namespace, state.name, mark | {"spec": {"suspend": True}})
            return
        await self._client.patch(JOB, state.namespace, state.name, mark)
        deadline = {"spec": {"activeDeadlineSeconds": 1}}
        await self._client.patch(POD, state.namespace, pod["metadata"]["name"], deadline)

    def _is_over(self, uid: str) -> bool:
        pod = self._pods.get(uid)
        return ended(pod) if pod is not None else bool(self._jobs[uid]["spec"].get("suspend"))

    async def _until(self, uid: str, condition: Callable[[], bool]) -> None:
        with self._changes.subscribe() as changes:
            try:
                async with asyncio.timeout(_END_S):
                    while not condition():
                        await changes.next()
            except TimeoutError as error:
                raise DeadlineError(f"the pod of task {uid} did not end within {_END_S:g} s") from error

    async def _follow(self, kind: Kind) -> None:
        index = self._index(kind)
        with self._reflectors[kind].subscribe() as subscription:
            while True:
                type_, obj = await subscription.next()
                self._note(index, type_, obj)

    def _index(self, kind: Kind) -> dict[str, Object]:
        return self._jobs if kind is JOB else self._pods

    def _note(self, index: dict[str, Object], type_: str, obj: Object) -> None:
        """Keep the newest object of a task, because a Job that lost its pod may have created another."""
        uid = obj["metadata"]["labels"][TASK]
        known = index.get(uid)
        same = known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"]
        if type_ == "DELETED":
            if same:
                del index[uid]
        elif known is None or same or known["metadata"]["creationTimestamp"] <= obj["metadata"]["creationTimestamp"]:
            index[uid] = obj
        self._changes.tell(uid)
