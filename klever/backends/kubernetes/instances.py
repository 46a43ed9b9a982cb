"""Reads the instances of a Serving from its Deployments and pods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from klever.api.kinds import Object
from klever.api.outcome import Outcome
from klever.api.text import parse_time
from klever.backends import Instance, InstancePhase
from klever.backends.kubernetes.layout import PORTS
from klever.backends.kubernetes.manifests import PREDICTOR, TRUST, WORKLOAD
from klever.backends.kubernetes.servers import SERVER
from klever.formats import Trust
from klever.kube.pods import Trouble, describe_end, find_trouble

__all__ = ["read_instances"]

_UNUSABLE = "ModelUnusable"


def read_instances(deployment: Object, pods: Iterable[Object], host: str) -> list[Instance]:
    """Return an instance for each pod that is not on its way out; a pending one if there should be one and is none.

    `host` is the address of the workload's Service, empty until it has one.
    """
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    alive.sort(key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    if alive or not deployment["spec"].get("replicas", 1):
        return [_instance(deployment, pod, index, host) for index, pod in enumerate(alive)]
    return [replace(_blank(deployment, deployment["metadata"]["name"]), message=_refusal(deployment))]


def _instance(deployment: Object, pod: Object, index: int, host: str) -> Instance:
    status = pod.get("status", {})
    server = _first(status.get("containerStatuses"))
    blank = replace(
        _blank(deployment, pod["metadata"]["name"]), index=index, restarts=server.get("restartCount", 0), sandbox="pod"
    )
    state = server.get("state", {})
    if "running" in state:
        started = replace(blank, started_at=parse_time(state["running"]["startedAt"]))
        if _is_ready(status) and host:
            ready = replace(started, phase=InstancePhase.READY)
            return _reachable(ready, deployment, host, status.get("podIP", ""))
        return replace(started, phase=InstancePhase.STARTING)
    ended = state.get("terminated") or server.get("lastState", {}).get("terminated")
    if ended:
        return replace(
            blank, phase=InstancePhase.BACK_OFF, reason=ended.get("reason", "Error"), message=describe_end(ended)
        )
    return _preparing(blank, pod)


def _reachable(instance: Instance, deployment: Object, host: str, pod: str) -> Instance:
    """Return the instance with the endpoints of the ports that its server has. Metrics are those of one pod."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    server = next(one for one in containers if one["name"] == SERVER)
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    return replace(
        instance,
        http=f"{host}:{PORTS['http']}" if "http" in ports else "",
        grpc=f"{host}:{PORTS['grpc']}" if "grpc" in ports else "",
        metrics=f"{pod}:{ports['metrics']}" if "metrics" in ports else "",
    )


def _preparing(blank: Instance, pod: Object) -> Instance:
    """Return the instance while the storage initializer works, or failed."""
    status = pod.get("status", {})
    initializer = _first(status.get("initContainerStatuses"))
    state = initializer.get("state", {})
    ended = state.get("terminated") or initializer.get("lastState", {}).get("terminated") or {}
    if ended.get("exitCode"):
        outcome = Outcome.parse(ended.get("message", "")) or Outcome(ended["exitCode"], describe_end(ended), "Error")
        phase = InstancePhase.FAILED if outcome.reason == _UNUSABLE else InstancePhase.BACK_OFF
        return replace(blank, phase=phase, reason=outcome.reason, message=outcome.message)
    if "running" in state:
        return replace(blank, message="pulling the model")
    return _waiting(blank, find_trouble(pod))


def _waiting(blank: Instance, trouble: Trouble | None) -> Instance:
    if trouble is None:
        return replace(blank, message="the pod waits for its containers")
    phase = InstancePhase.FAILED if trouble.is_final else InstancePhase.PENDING
    return replace(blank, phase=phase, reason=trouble.reason, message=trouble.message)


def _blank(deployment: Object, name: str) -> Instance:
    metadata = deployment["metadata"]
    annotations = metadata.get("annotations", {})
    trust = Trust(annotations.get(TRUST, Trust.CODE))
    return Instance(
        name, annotations.get(PREDICTOR, ""), metadata["labels"][WORKLOAD], InstancePhase.PENDING, trust=trust
    )


def _is_ready(status: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))


def _first(statuses: list[dict[str, Any]] | None) -> dict[str, Any]:
    return statuses[0] if statuses else {}


def _refusal(deployment: Object) -> str:
    """Return the reason why there is no pod: a quota, a policy, or an admission webhook."""
    conditions = deployment.get("status", {}).get("conditions", ())
    return next((c.get("message", "") for c in conditions if c["type"] == "ReplicaFailure"), "waiting for a pod")
