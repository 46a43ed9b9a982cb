"""The objects of a task: a Job and a NetworkPolicy with its name, and a Secret for its containers.

The pod meets the restricted standard (kubernetes.io/docs/concepts/security/pod-security-standards). Its containers run
in the order of the task's steps and share /task:

    init containers   those of the job's spec, then `fetch` and `work` of a task with a program
    container         `push` of a task with a program, else `run`

`work` may run code of the model: it sees neither the Secret nor a service account's token.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from klever.api.kinds import Object
from klever.errors import FieldViolation
from klever.executors import Task
from klever.executors.kubernetes.resources import step_resources
from klever.executors.kubernetes.settings import PodSettings
from klever.kube.kinds import JOB, NETWORK_POLICY, SECRET
from klever.kube.pods import LOG, RESTRICTED, overridden, pod_security
from klever.kube.restricted import check_hosts
from klever.kube.secrets import check_secrets, own_secret

__all__ = [
    "CANCELLED",
    "OWN_CONTAINERS",
    "TASK",
    "UNSTARTABLE",
    "check_containers",
    "job",
    "network_policy",
    "secret",
    "secret_name",
]

TASK: Final = "kleveross.io/task"
"""The label of a task's Job, pod and Secret: the uid of the task."""
CANCELLED: Final = "kleveross.io/cancelled"
"""The annotation of a Job whose task was cancelled."""
UNSTARTABLE: Final = "kleveross.io/unstartable"
"""The annotation of a Job that can never start: the reason."""
OWN_CONTAINERS: Final = ("fetch", "work", "push", "run")
_WORK: Final = "/task"
_SHARED: Final = "work"
"""The volume that the containers share."""
_MODEL: Final = "model"
"""The volume in which init containers of a job's spec leave a model."""
_DOCUMENT: Final = "/etc/klever/task/task.json"
_GRACE_S: Final = 5


def check_containers(containers: Iterable[Mapping[str, Any]]) -> Iterator[FieldViolation]:
    """Yield why init containers of a job's spec may not run: they would get rights or secrets that a job has not."""
    for index, container in enumerate(containers):
        where = f"initContainer[{index}]"
        if container.get("name") in OWN_CONTAINERS:
            yield FieldViolation(
                f"{where}.name", f"must be another name than those of Klever: {', '.join(OWN_CONTAINERS)}"
            )
        yield from check_hosts(container, where)
        yield from check_secrets(container, where)
        if "securityContext" in container:
            yield FieldViolation(f"{where}.securityContext", "must be empty: Klever sets the restricted standard")
        if "volumeDevices" in container:
            yield FieldViolation(f"{where}.volumeDevices", "must be empty: a job has no block devices")
        for number, mount in enumerate(container.get("volumeMounts", ())):
            if mount.get("name") not in (_SHARED, _MODEL):
                why = f"must be {_SHARED}, the job's directory, or {_MODEL}, the directory of its model"
                yield FieldViolation(f"{where}.volumeMounts[{number}].name", why)


def secret_name(task: str) -> str:
    return own_secret(task)


def secret(task: Task, settings: PodSettings) -> Object:
    """Return the Secret with one document for each step of the platform's program."""
    documents = {step: _document(task, step, settings) for step in _own_steps(task)}
    return {
        "metadata": _metadata(secret_name(task.name), task, settings),
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "immutable": True,
        "data": {name: base64.b64encode(json.dumps(content).encode()).decode() for name, content in documents.items()},
    }


def network_policy(task: Task, settings: PodSettings) -> Object:
    """Return the policy by which nothing reaches the pod of a task."""
    return {
        "metadata": _metadata(task.name, task, settings),
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": NETWORK_POLICY.kind,
        "spec": {"podSelector": {"matchLabels": {TASK: task.uid}}, "policyTypes": ["Ingress"], "ingress": []},
    }


def job(task: Task, settings: PodSettings) -> Object:
    """Return the Job. It is suspended, with the reason as an annotation, if the task's environment has no image."""
    metadata = _metadata(task.name, task, settings)
    suspended = bool(task.program) and task.environment not in settings.images
    if suspended:
        reason = f"no image is configured for the environment {task.environment!r}"
        metadata["annotations"] = {UNSTARTABLE: reason}
    template = overridden({"metadata": {"labels": metadata["labels"]}, "spec": _pod(task, settings)}, settings.pod)
    return {
        "metadata": metadata,
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "spec": {"backoffLimit": 0, "suspend": suspended, "template": template},
    }


def _metadata(name: str, task: Task, settings: PodSettings) -> dict[str, Any]:
    owner = settings.owner(task)
    return {
        "name": name,
        "namespace": task.namespace,
        "labels": {"app.kubernetes.io/managed-by": "klever", TASK: task.uid},
        **({"ownerReferences": [owner]} if owner else {}),
    }


def _pod(task: Task, settings: PodSettings) -> dict[str, Any]:
    *before, last = _steps(task, settings)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_S,
        "securityContext": pod_security(settings.user),
        "initContainers": [*map(_given, task.init_containers), *before],
        "containers": [last],
        "volumes": [
            {"name": _SHARED, "emptyDir": {"sizeLimit": str(settings.work_bytes)}},
            *([{"name": _MODEL, "emptyDir": {"sizeLimit": str(settings.work_bytes)}}] if task.init_containers else []),
            *(_volume(task, step) for step in _own_steps(task)),
        ],
    }
    if settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    if task.timeout_s:
        spec["activeDeadlineSeconds"] = max(1, math.ceil(task.timeout_s))
    return spec


def _own_steps(task: Task) -> tuple[str, ...]:
    """Return the steps of the platform's program."""
    return ("fetch", "push") if task.program else ("run",)


def _steps(task: Task, settings: PodSettings) -> list[dict[str, Any]]:
    own = [_own(task, step, settings) for step in _own_steps(task)]
    if not task.program:
        return own
    image = settings.images.get(task.environment, settings.image)
    argv = [settings.python, "-I", task.program, f"{_WORK}/input/request.json"]
    work = _container(task, "work", image, argv, f"{_WORK}/output")
    work["resources"] = _program_resources(task)
    work["volumeMounts"] = [
        {"name": _SHARED, "mountPath": f"{_WORK}/input", "subPath": "input", "readOnly": True},
        {"name": _SHARED, "mountPath": f"{_WORK}/output", "subPath": "output"},
    ]
    return [own[0], _with_variables(work, task.env, settings), own[1]]


def _own(task: Task, step: str, settings: PodSettings) -> dict[str, Any]:
    container = _container(task, step, settings.image, [*settings.command, _DOCUMENT], _WORK)
    if resources := step_resources(task, step):
        container["resources"] = resources
    if step != "run" and task.init_containers:
        container["volumeMounts"] += [{"name": _MODEL, "mountPath": f"{_WORK}/given", "readOnly": True}]
    container["volumeMounts"] += [{"name": step, "mountPath": "/etc/klever/task", "readOnly": True}]
    return _with_variables(container, () if task.program else task.env, settings)


def _container(task: Task, name: str, image: str, argv: list[str], directory: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "command": argv,
        "workingDir": directory,
        "terminationMessagePath": LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": _SHARED, "mountPath": _WORK}],
    }
    if task.memory_bytes:
        container["resources"] = {"limits": {"memory": str(task.memory_bytes)}}
    return _secured(container)


def _program_resources(task: Task) -> Mapping[str, Any]:
    """Return the resources of a program. The size of its model is not known before the pod has fetched it."""
    if resources := step_resources(task, "work"):
        return resources
    most = {"limits": {"memory": str(task.most_memory_bytes)}} if task.most_memory_bytes else {}
    least = max(task.program_memory.base_bytes, task.memory_bytes or 0)
    return {**most, "requests": {"memory": str(least)}} if least else most


def _with_variables(
    container: dict[str, Any], given: Sequence[Mapping[str, Any]], settings: PodSettings
) -> dict[str, Any]:
    """Set the variables of a container. Klever's come last, so that they take precedence."""
    directory = container["workingDir"]
    own = {**settings.env, "KLEVER_TERMINATION_LOG": LOG, "HOME": directory, "TMPDIR": directory}
    container["env"] = [*given, *({"name": name, "value": value} for name, value in own.items())]
    return container


def _given(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return a container of the spec. Its last words are its termination message, unless it writes one."""
    return _secured({"terminationMessagePolicy": "FallbackToLogsOnError", **container})


def _secured(container: Mapping[str, Any]) -> dict[str, Any]:
    return {**container, "securityContext": RESTRICTED}


def _volume(task: Task, step: str) -> dict[str, Any]:
    items = [{"key": step, "path": "task.json"}]
    return {"name": step, "secret": {"secretName": secret_name(task.name), "items": items}}


def _document(task: Task, step: str, settings: PodSettings) -> dict[str, Any]:
    if step == "fetch":
        task = replace(task, registries=tuple(access for access in task.registries if not access.push))
    return {"module": task.module, "step": step, "inputs": task.inputs, "secrets": settings.secrets(task)}
