"""Builds pods under the restricted standard, and describes in one sentence why a pod waits or how a container ended.

Sources: kubernetes.io/docs/concepts/security/pod-security-standards; k8s.io/kubernetes `pkg/kubelet/images/types.go`
and `pkg/kubelet/container/sync_result.go` (reasons of waiting containers).
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.api.kinds import Object
from klever.kube.merge import merge

__all__ = ["LOG", "RESTRICTED", "Trouble", "describe_end", "find_trouble", "overridden", "pod_security"]

LOG: Final = "/dev/termination-log"
"""Where a container leaves its termination message."""
RESTRICTED: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""The security context of a container."""

Status = Mapping[str, Any]
_SIGNALS: Final = 128
"""An exit code above this is that of a signal."""


_FINAL: Final = ("InvalidImageName", "ErrImageNeverPull")


def _pull(status: Status, why: str) -> str:
    return f"cannot pull the image {status['image']}: {why or 'the kubelet will retry'}"


_TROUBLES: Final[Mapping[str, Callable[[Status, str], str]]] = {
    "ErrImagePull": _pull,
    "ImagePullBackOff": _pull,
    "RegistryUnavailable": _pull,
    "ErrImageNeverPull": lambda s, _: f"the image {s['image']} is not on the node, and imagePullPolicy is Never",
    "InvalidImageName": lambda s, _: f"invalid image name {s['image']!r}: correct it",
    "CrashLoopBackOff": lambda s, _: f"container {s['name']} keeps ending: {_last_end(s)}",
    "CreateContainerConfigError": lambda s, why: f"cannot create container {s['name']}: {why}",
    "CreateContainerError": lambda s, why: f"cannot create container {s['name']}: {why}",
    "RunContainerError": lambda s, why: f"cannot start container {s['name']}: {why}",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What prevents a pod from running. A final trouble does not pass by itself."""

    reason: str
    message: str
    is_final: bool = False


def find_trouble(pod: Object) -> Trouble | None:
    """Return what prevents the pod from running; None if nothing does."""
    status = pod.get("status", {})
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = one.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason in _TROUBLES:
            return Trouble(reason, _TROUBLES[reason](one, waiting.get("message", "")), reason in _FINAL)
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason, message = condition.get("reason", ""), condition.get("message", "")
            return Trouble(reason or "Unschedulable", f"no node has room for the pod: {message}")
    return None


def overridden(template: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod template with a checked patch. Containers of the patch also get the restricted standard."""
    merged = merge(template, patch)
    for part in ("initContainers", "containers"):
        for container in merged["spec"].get(part, ()):
            container["securityContext"] = {**RESTRICTED, **container.get("securityContext", {})}
    return merged


def pod_security(user: int) -> dict[str, Any]:
    """Return the security context of a pod whose containers run as `user` and share its volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def describe_end(terminated: Status) -> str:
    """Return how a container ended, with its last words."""
    code, reason = terminated.get("exitCode", 0), terminated.get("reason", "")
    how = f"exit code {code}" if code <= _SIGNALS else f"killed by {_signal(code - _SIGNALS)}"
    out = ": out of memory, the limit is resources.limits.memory" if reason == "OOMKilled" else ""
    words = terminated.get("message", "").strip()
    return f"{how}{out}\n{words}".strip()


def _signal(number: int) -> str:
    return next((one.name for one in signal.Signals if one == number), f"signal {number}")


def _last_end(status: Status) -> str:
    return describe_end(status.get("lastState", {}).get("terminated", {}))
