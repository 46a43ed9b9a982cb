"""The objects of a task on a cluster, and what is read from their status."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from klever.converters import MemoryNeed
from klever.executors import RegistryAccess, Task, TaskPhase, TaskState
from klever.executors.kubernetes import PodSettings
from klever.executors.kubernetes.manifests import (
    CANCELLED,
    check_containers,
    job,
    network_policy,
    secret,
)
from klever.executors.kubernetes.manifests import (
    TASK as LABEL,
)
from klever.executors.kubernetes.resources import check_step_resources
from klever.executors.kubernetes.states import task_state

OWNER = {"apiVersion": "kleveross.io/v1alpha1", "kind": "ModelJob", "name": "convert", "uid": "u1"}


def registries(task: Task) -> dict[str, Any]:
    return {access.repository: access.push for access in task.registries}


SETTINGS = PodSettings(
    image="registry.example/klever:1",
    images={"onnx": "registry.example/klever-onnx:1"},
    command=("python3", "-I", "-m", "klever.cmd.task"),
    secrets=registries,
    owner=lambda _: OWNER,
    pull_secrets=("pulls",),
)
TASK = Task(
    "team",
    "convert",
    "u1",
    "klever.tasks.conversion",
    {"model": "team/m:v1"},
    registries=(RegistryAccess("", "team/m"), RegistryAccess("", "team/n", push=True)),
    environment="onnx",
    program="/opt/klever/programs",
    env=({"name": "INPUTS", "value": "[]"},),
    init_containers=({"name": "before", "image": "busybox:1", "command": ["true"]},),
    timeout_s=90.5,
    memory_bytes=1 << 30,
    program_memory=MemoryNeed(3 << 30, 10),
    most_memory_bytes=16 << 30,
)


def test_the_job_of_a_conversion(golden: Callable[[str, str], None]) -> None:
    golden("kubernetes/conversion-job.json", json.dumps(job(TASK, SETTINGS), indent=2) + "\n")


def test_the_pod_of_a_task_has_the_patch_of_the_operator() -> None:
    settings = replace(SETTINGS, pod={"spec": {"schedulerName": "volcano"}})
    assert job(TASK, settings)["spec"]["template"]["spec"]["schedulerName"] == "volcano"


def test_nothing_reaches_the_pod_of_a_task() -> None:
    policy = network_policy(TASK, SETTINGS)
    labels = job(TASK, SETTINGS)["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"] == {
        "podSelector": {"matchLabels": {LABEL: labels[LABEL]}},
        "policyTypes": ["Ingress"],
        "ingress": [],
    }


def test_only_the_last_step_may_push() -> None:
    data = secret(TASK, SETTINGS)["data"]
    documents = {step: json.loads(base64.b64decode(content)) for step, content in data.items()}
    assert documents["fetch"]["secrets"] == {"team/m": False}
    assert documents["push"]["secrets"] == {"team/m": False, "team/n": True}


def test_the_step_that_may_run_code_sees_no_secret() -> None:
    containers = job(TASK, SETTINGS)["spec"]["template"]["spec"]["initContainers"]
    (work,) = [one for one in containers if one["name"] == "work"]
    assert {mount["name"] for mount in work["volumeMounts"]} == {"work"}


def test_a_job_whose_environment_has_no_image_is_never_started() -> None:
    settings = PodSettings("klever:1", {}, ("python3",))
    suspended = job(TASK, settings)
    state = task_state(suspended, None)
    assert suspended["spec"]["suspend"]
    assert (state.phase, state.reason) == (TaskPhase.FAILED, "StartError")
    assert "'onnx'" in state.message


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"securityContext": {"privileged": True}}, "securityContext"),
        ({"volumeDevices": [{"name": "push", "devicePath": "/dev/x"}]}, "volumeDevices"),
        (
            {"volumeMounts": [{"name": "work", "mountPath": "/w"}, {"name": "push", "mountPath": "/p"}]},
            "volumeMounts[1].name",
        ),
    ],
)
def test_an_init_container_gets_no_right_or_secret_of_klever(more: dict[str, Any], field: str) -> None:
    (violation,) = check_containers([{"name": "mine", "image": "x:1", **more}])
    assert violation.field == f"initContainer[0].{field}"


def pod(phase: str, *statuses: dict[str, Any], **status: Any) -> dict[str, Any]:
    names = [one["name"] for one in statuses] or ["push"]
    return {
        "metadata": {"name": "convert-abcde", "namespace": "team"},
        "spec": {"containers": [{"name": name} for name in names]},
        "status": {"phase": phase, "containerStatuses": list(statuses), **status},
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"name": "run", "image": "nope/x:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}


def terminated(name: str, code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    at = "2026-01-01T00:00:00Z"
    end = {"exitCode": code, "message": message, "reason": reason, "startedAt": at, "finishedAt": at}
    return {"name": name, "image": "x:1", "state": {"terminated": end}}


def read(found: dict[str, Any] | None, **annotations: str) -> TaskState:
    made = job(TASK, SETTINGS)
    made["metadata"]["annotations"] = annotations
    return task_state(made, found)


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
}
CRASH = {"exitCode": 3, "message": "no such file"}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "waiting for a pod"),
        (pod("Pending", waiting("ErrImagePull", "not found")), "cannot pull the image nope/x:1: not found"),
        (pod("Pending", waiting("ImagePullBackOff")), "cannot pull the image nope/x:1: the kubelet will retry"),
        (
            pod("Pending", waiting("CreateContainerConfigError", 'secret "s" not found')),
            'cannot create container run: secret "s" not found',
        ),
        (
            pod("Pending", waiting("CrashLoopBackOff", lastState={"terminated": CRASH})),
            "container run keeps ending: exit code 3\nno such file",
        ),
        (pod("Pending", conditions=[UNSCHEDULABLE]), "no node has room for the pod: 0/1 nodes are available"),
        (pod("Pending", waiting("ContainerCreating")), ""),
    ],
)
def test_a_pod_that_waits_says_why(found: dict[str, Any] | None, words: str) -> None:
    state = read(found)
    assert state.phase is TaskPhase.PENDING
    assert state.message.startswith(words)


def test_a_task_whose_image_has_no_valid_name_has_failed() -> None:
    state = read(pod("Pending", waiting("InvalidImageName")))
    assert (state.phase, state.reason) == (TaskPhase.FAILED, "StartError")
    assert state.message == "invalid image name 'nope/x:1': correct it"


def test_the_variables_of_the_predecessor_set_the_resources_of_steps() -> None:
    values = {
        "MODEL_INITIALIZER_CPU": "1",
        "MODEL_INITIALIZER_MEM": "1Gi",
        "MODELJOB_TASK_CPU": "2",
        "MODELJOB_TASK_MEM": "4Gi",
    }
    task = replace(TASK, env=tuple({"name": name, "value": value} for name, value in values.items()))
    assert not list(check_step_resources(task))
    containers = {one["name"]: one for one in job(task, SETTINGS)["spec"]["template"]["spec"]["initContainers"]}
    fetch, work = {"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "4Gi"}
    assert containers["fetch"]["resources"] == {"requests": fetch, "limits": fetch}
    assert containers["work"]["resources"] == {"requests": work, "limits": work}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"MODELJOB_TASK_CPU": "2"}, "env[MODELJOB_TASK_CPU]"),
        ({"MODELJOB_TASK_CPU": "much", "MODELJOB_TASK_MEM": "1Gi"}, "env[MODELJOB_TASK_CPU].value"),
    ],
)
def test_resources_of_the_predecessor_are_given_both_and_valid(values: dict[str, str], field: str) -> None:
    task = replace(TASK, env=tuple({"name": name, "value": value} for name, value in values.items()))
    assert [violation.field for violation in check_step_resources(task)] == [field]


def test_an_init_container_may_bring_the_model() -> None:
    spec = job(TASK, SETTINGS)["spec"]["template"]["spec"]
    given = {"name": "model", "mountPath": "/task/given", "readOnly": True}
    assert {one["name"]: given in one["volumeMounts"] for one in spec["initContainers"][1:] + spec["containers"]} == {
        "fetch": True,
        "work": False,
        "push": True,
    }
    assert not list(
        check_containers([{"name": "mine", "volumeMounts": [{"name": "model", "mountPath": "/models/input"}]}])
    )


OUTCOME = json.dumps({"exitCode": 10001, "reason": "PullFailed", "message": "no such tag", "result": {"a": 1}})


@pytest.mark.parametrize(
    ("found", "reason", "code", "words"),
    [
        (pod("Failed", terminated("push", 1, OUTCOME)), "PullFailed", 10001, "no such tag"),
        (pod("Failed", terminated("work", 1, OUTCOME)), "Error", 1, OUTCOME),
        (
            pod("Failed", terminated("fetch", 137, reason="OOMKilled")),
            "OOMKilled",
            137,
            "container fetch: killed by SIGKILL: out of memory, the limit is resources.limits.memory",
        ),
        (pod("Failed", terminated("mine", 3, "no disk")), "Error", 3, "init container mine: exit code 3\nno disk"),
        (pod("Failed", terminated("run", 128, "no such file", "StartError")), "StartError", 128, "no such file"),
        (
            pod("Failed", terminated("run", 137), reason="DeadlineExceeded", message="late"),
            "DeadlineExceeded",
            137,
            "late",
        ),
        (pod("Failed", reason="Evicted", message="low on memory"), "Lost", None, "Evicted: low on memory"),
    ],
)
def test_a_pod_that_failed_says_why(found: dict[str, Any], reason: str, code: int | None, words: str) -> None:
    state = read(found)
    assert (state.phase, state.reason, state.exit_code) == (TaskPhase.FAILED, reason, code)
    assert state.message == words


def test_a_task_that_was_cancelled_was_killed() -> None:
    failed = pod("Failed", terminated("run", 137), reason="DeadlineExceeded")
    assert read(failed, **{CANCELLED: "true"}).reason == "Killed"


def test_a_task_that_succeeded_before_it_was_cancelled_succeeded() -> None:
    done = pod("Succeeded", terminated("push", 0, json.dumps({"exitCode": 0, "result": {"digest": "d"}}), "Completed"))
    assert read(done, **{CANCELLED: "true"}).result == {"digest": "d"}


def test_a_job_whose_pod_was_deleted_may_run_again() -> None:
    made = job(TASK, SETTINGS)
    made["status"] = {
        "conditions": [{"type": "Failed", "status": "True", "message": "Job has reached the backoff limit"}]
    }
    assert task_state(made, None).reason == "Lost"
