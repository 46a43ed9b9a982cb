"""Explains in one sentence what a pod waits for.

Source: k8s.io/kubernetes `pkg/kubelet/images/types.go` and `pkg/kubelet/container/sync_result.go` (reasons of waiting
containers), and kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle (conditions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from klever.api.kinds import Object

__all__ = ["waits_for"]

Status = Mapping[str, Any]


def _pull(status: Status, why: str) -> str:
    return f"cannot pull the image {status['image']}: {why or 'the kubelet tries again'}"


_TROUBLES: Final[Mapping[str, Callable[[Status, str], str]]] = {
    "ErrImagePull": _pull,
    "ImagePullBackOff": _pull,
    "RegistryUnavailable": _pull,
    "ErrImageNeverPull": lambda s, _: f"the image {s['image']} is not on the node, and imagePullPolicy is Never",
    "InvalidImageName": lambda s, _: f"{s['image']!r} is not a valid image name: correct it",
    "CrashLoopBackOff": lambda s, _: f"container {s['name']} keeps ending: {_last_end(s)}",
    "CreateContainerConfigError": lambda s, why: f"container {s['name']} cannot be made: {why}",
    "CreateContainerError": lambda s, why: f"container {s['name']} cannot be made: {why}",
    "RunContainerError": lambda s, why: f"container {s['name']} cannot be started: {why}",
}


def waits_for(pod: Object) -> str:
    """Return what keeps the pod from running; empty if nothing does."""
    status = pod.get("status", {})
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = one.get("state", {}).get("waiting", {})
        trouble = _TROUBLES.get(waiting.get("reason", ""))
        if trouble is not None:
            return trouble(one, waiting.get("message", ""))
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"no node has room for the pod: {condition.get('message', '')}"
    return ""


def _last_end(status: Status) -> str:
    last = status.get("lastState", {}).get("terminated", {})
    why = last.get("message", "").strip() or last.get("reason", "")
    return f"exit code {last.get('exitCode', '?')}{': ' if why else ''}{why}"
