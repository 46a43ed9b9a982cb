"""The objects of a workload on a cluster, and the instances that are read from their status."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from klever.backends import Autoscaling, InstancePhase, PredictorWorkload, ServingKey, Workload
from klever.backends.kubernetes import Image, ReplicaSettings
from klever.backends.kubernetes.instances import read_instances
from klever.backends.kubernetes.layout import lay_out
from klever.backends.kubernetes.manifests import deployment, secret, service
from klever.backends.kubernetes.network import network_policy
from klever.backends.kubernetes.scaling import autoscaler, budget
from klever.backends.kubernetes.sizes import first_replicas
from klever.formats import Trust
from klever.runtimes import Model
from klever.runtimes.custom import CustomRuntime

IMAGE = Image("registry.example/klever-triton:1", "/opt/python/bin/python3", {"triton": PurePosixPath("/opt/triton")})
SETTINGS = ReplicaSettings(
    image="registry.example/klever:1",
    images={frozenset({"triton"}): IMAGE},
    initializer=("python3", "-I", "-m", "klever.cmd.initializer"),
    owner=lambda workload: {"kind": "Serving", "name": workload.key.name, "uid": workload.uid},
    pull_secrets=("pulls",),
    admitted=({"ipBlock": {"cidr": "192.0.2.7/32"}},),
)
PREDICTOR = PredictorWorkload(
    "main",
    "r1",
    2,
    "triton",
    model="team/m@sha256:" + "a" * 64,
    format="ONNX",
    env=({"name": "A", "value": "b"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    resources={"limits": {"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": 1}},
)
WORKLOAD = Workload(ServingKey("team", "digits"), "u1", (PREDICTOR,))


def test_the_objects_of_a_workload(golden: Callable[[str, str], None]) -> None:
    made = [deployment(WORKLOAD, PREDICTOR, IMAGE, SETTINGS), service(WORKLOAD, PREDICTOR, SETTINGS)]
    golden("kubernetes/workload.json", json.dumps(made, indent=2) + "\n")


def test_the_objects_around_a_workload(golden: Callable[[str, str], None]) -> None:
    scaled = replace(PREDICTOR, autoscaling=Autoscaling(2, 5, cpu=80))
    made = [
        autoscaler(WORKLOAD, scaled, SETTINGS),
        budget(WORKLOAD, scaled, SETTINGS),
        network_policy(WORKLOAD, SETTINGS),
    ]
    golden("kubernetes/around.json", json.dumps(made, indent=2) + "\n")


def test_the_number_of_replicas_is_that_of_the_autoscaler() -> None:
    scaled = replace(PREDICTOR, autoscaling=Autoscaling(2, 5, cpu=80))
    assert "replicas" not in deployment(WORKLOAD, scaled, IMAGE, SETTINGS)["spec"]
    assert [first_replicas(scaled, now) for now in (0, 3, 9)] == [2, 3, 5]
    off = replace(scaled, replicas=0)
    assert deployment(WORKLOAD, off, IMAGE, SETTINGS)["spec"]["replicas"] == 0
    assert (autoscaler(WORKLOAD, off, SETTINGS), budget(WORKLOAD, off, SETTINGS)) == (None, None)


@pytest.mark.parametrize(
    ("scaling", "target"),
    [
        (Autoscaling(1, 2, memory=70), {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}),
        (
            Autoscaling(1, 2, metric="queue", average="500m"),
            {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "500m"}},
        ),
    ],
)
def test_an_autoscaler_follows_memory_or_a_metric(scaling: Autoscaling, target: dict[str, Any]) -> None:
    made = autoscaler(WORKLOAD, replace(PREDICTOR, autoscaling=scaling), SETTINGS)
    assert made is not None
    (metric,) = made["spec"]["metrics"]
    assert metric[metric["type"].lower()] == target


def test_a_single_replica_has_no_disruption_budget() -> None:
    assert budget(WORKLOAD, replace(PREDICTOR, replicas=1), SETTINGS) is None


def test_a_workload_that_starts_after_the_old_is_recreated_in_place() -> None:
    recreated = replace(WORKLOAD, after_the_old=True)
    assert deployment(recreated, PREDICTOR, IMAGE, SETTINGS)["spec"]["strategy"] == {"type": "Recreate"}


def test_the_initializer_alone_sees_the_secret() -> None:
    pod = deployment(WORKLOAD, PREDICTOR, IMAGE, SETTINGS)["spec"]["template"]["spec"]
    (initializer,), (server,) = pod["initContainers"], pod["containers"]
    assert "workload" in {mount["name"] for mount in initializer["volumeMounts"]}
    assert "workload" not in {mount["name"] for mount in server["volumeMounts"]}


def test_the_initializer_gets_the_values_that_the_spec_has() -> None:
    document = json.loads(base64.b64decode(secret(WORKLOAD, PREDICTOR, IMAGE, SETTINGS)["data"]["workload.json"]))
    assert document["predictor"]["env"] == {"A": "b"}
    assert document["predictor"]["threads"] == 2
    assert document["predictor"]["gpus"]
    assert document["predictor"]["environments"] == {"triton": "/opt/triton"}


LAID_OUT = {"env": {}, "command": ["serve"], "probe_path": "/", "threads": 0, "gpus": False, "environments": {}}


@pytest.mark.parametrize("gpus", [False, True])
def test_gpus_are_hidden_from_a_server_that_has_none(tmp_path: Any, gpus: bool) -> None:
    lay_out(tmp_path, CustomRuntime(), Model("digits", "", (), None), {**LAID_OUT, "gpus": gpus})
    env = json.loads((tmp_path / "launch.json").read_text())["env"]
    assert ("NVIDIA_VISIBLE_DEVICES" in env) is not gpus


def test_a_layout_is_the_same_after_a_second_try(tmp_path: Any) -> None:
    (tmp_path / "model").mkdir()
    for _ in range(2):
        lay_out(tmp_path, CustomRuntime(), Model("digits", "", ("m",), None), LAID_OUT)
    assert json.loads((tmp_path / "launch.json").read_text())["http"] == "127.0.0.1:8000"
    assert (tmp_path / "store" / "digits").readlink() == PurePosixPath("/klever/model")
    assert (tmp_path / "start.py").exists()


def pod(server: dict[str, Any] | None = None, initializer: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    status = {
        "containerStatuses": [{"name": "server", "image": "x:1", "restartCount": 0, **(server or {})}],
        "initContainerStatuses": [{"name": "storage-initializer", "image": "x:1", **(initializer or {})}],
    }
    metadata = {"name": "digits-r1-a", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {}}
    return {"metadata": metadata, "status": {**status, **more}}


RUNNING = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
READY = [{"type": "Ready", "status": "True"}]
UNUSABLE = json.dumps({"exitCode": 1, "reason": "ModelUnusable", "message": "not a gzip'd tar"})
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]


def terminated(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code, "message": message, "reason": reason}}}


@pytest.mark.parametrize(
    ("found", "phase", "words"),
    [
        (pod(RUNNING, conditions=READY), InstancePhase.READY, ""),
        (pod(RUNNING), InstancePhase.STARTING, ""),
        (pod(initializer=RUNNING), InstancePhase.PENDING, "pulling the model"),
        (pod(conditions=UNSCHEDULABLE), InstancePhase.PENDING, "no node has room for the pod: 0/1 nodes"),
        (pod(initializer=terminated(1, UNUSABLE)), InstancePhase.FAILED, "not a gzip'd tar"),
        (pod(initializer=terminated(1, "no network")), InstancePhase.BACK_OFF, "exit code 1\nno network"),
        (pod(terminated(137)), InstancePhase.BACK_OFF, "killed by SIGKILL"),
        (pod(terminated(137, reason="OOMKilled")), InstancePhase.BACK_OFF, "killed by SIGKILL: out of memory"),
    ],
)
def test_an_instance_says_what_its_pod_does(found: dict[str, Any], phase: InstancePhase, words: str) -> None:
    (instance,) = read_instances(deployment(WORKLOAD, PREDICTOR, IMAGE, SETTINGS), [found], "10.96.0.9")
    assert (instance.phase, instance.predictor, instance.trust) == (phase, "main", Trust.CODE)
    assert instance.message.startswith(words)
    assert bool(instance.http) == (phase is InstancePhase.READY)


def test_a_pod_on_its_way_out_is_no_instance() -> None:
    leaving = pod(RUNNING, conditions=READY)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    idle = deployment(WORKLOAD, PREDICTOR, IMAGE, SETTINGS)
    idle["spec"]["replicas"] = 0
    assert read_instances(idle, [leaving], "10.96.0.9") == []


def test_a_deployment_that_may_make_no_pod_says_why() -> None:
    made = deployment(WORKLOAD, PREDICTOR, IMAGE, SETTINGS)
    made["status"] = {"conditions": [{"type": "ReplicaFailure", "message": "exceeded quota"}]}
    (instance,) = read_instances(made, [], "")
    assert (instance.phase, instance.message) == (InstancePhase.PENDING, "exceeded quota")
