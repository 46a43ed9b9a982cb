"""Reads the state of a task from its Job and its pod."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from klever.api.kinds import Object
from klever.api.text import parse_time
from klever.executors import Outcome, TaskPhase, TaskState
from klever.executors.kubernetes.manifests import CANCELLED, OWN_CONTAINERS, TASK, UNSTARTABLE
from klever.kube.pods import describe_end, find_trouble

__all__ = ["containers", "ended", "task_state"]

_PROGRAM: Final = "work"
"""The container that may run a model's code. Its termination message is untrusted."""


def task_state(job: Object, pod: Object | None) -> TaskState:
    """Return the state of a task. Its phase is that of the pod, which is more reliable than the Job's status."""
    metadata = job["metadata"]
    state = TaskState(metadata["labels"][TASK], metadata["namespace"], metadata["name"], TaskPhase.PENDING)
    annotations = metadata.get("annotations", {})
    if UNSTARTABLE in annotations:
        return replace(state, phase=TaskPhase.FAILED, reason="StartError", message=annotations[UNSTARTABLE])
    if pod is None or not ended(pod):
        return _unfinished(state, job, pod)
    state = replace(state, started_at=_started(pod), finished_at=_finished(pod))
    if pod["status"]["phase"] == "Succeeded":
        outcome = _outcome(_last(pod))
        return replace(
            state, phase=TaskPhase.SUCCEEDED, reason="Completed", message=outcome.message,
            exit_code=outcome.exit_code, result=outcome.result,
        )  # fmt: skip
    if CANCELLED in annotations:
        return replace(state, phase=TaskPhase.FAILED, reason="Killed", message="cancelled")
    return _failed(state, pod)


def ended(pod: Object) -> bool:
    """Return whether the pod has ended and its result is known."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def containers(pod: Object) -> list[dict[str, Any]]:
    """Return the statuses of the containers in the order in which they run."""
    status = pod.get("status", {})
    order = [c["name"] for part in ("initContainers", "containers") for c in pod["spec"].get(part, ())]
    found = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return sorted(found, key=lambda one: order.index(one["name"]))


def _unfinished(state: TaskState, job: Object, pod: Object | None) -> TaskState:
    if CANCELLED in job["metadata"].get("annotations", {}) and job["spec"].get("suspend"):
        return replace(state, phase=TaskPhase.FAILED, reason="Killed", message="cancelled before it started")
    failure = _failure(job)
    if pod is None and failure is not None:
        message = f"the pod was deleted or evicted: {failure.get('message', '')}"
        return replace(state, phase=TaskPhase.FAILED, reason="Lost", message=message)
    if pod is None:
        return replace(state, message="waiting for a pod")
    return _waiting(state, pod)


def _waiting(state: TaskState, pod: Object) -> TaskState:
    """Return the state of a task whose pod has not ended. One that can never run has failed."""
    trouble, started = find_trouble(pod), _started(pod)
    if trouble is not None and trouble.is_final:
        return replace(state, phase=TaskPhase.FAILED, reason="StartError", message=trouble.message)
    phase = TaskPhase.RUNNING if started is not None else TaskPhase.PENDING
    state = replace(state, phase=phase, started_at=started)
    return state if trouble is None else replace(state, reason=trouble.reason, message=trouble.message)


def _failed(state: TaskState, pod: Object) -> TaskState:
    status = pod["status"]
    failed = next((one for one in _terminated(pod) if one["exitCode"] != 0), {})
    message = status.get("message") or failed.get("message", "")
    state = replace(state, phase=TaskPhase.FAILED, message=message, exit_code=failed.get("exitCode"))
    if status.get("reason") == "DeadlineExceeded":
        return replace(state, reason="DeadlineExceeded")
    if status.get("reason"):  # Evicted, NodeLost, Shutdown, …: caused by the node
        return replace(state, reason="Lost", message=f"{status['reason']}: {message}")
    if failed.get("reason") == "OOMKilled":
        return replace(state, reason="OOMKilled", message=f"container {failed['name']}: {describe_end(failed)}")
    if failed.get("reason") == "StartError":
        return replace(state, reason="StartError")
    if failed and failed["name"] not in OWN_CONTAINERS:
        return replace(state, reason="Error", message=f"init container {failed['name']}: {describe_end(failed)}")
    outcome = _outcome(failed)
    return replace(
        state, reason=outcome.reason or "Error", message=outcome.message, exit_code=outcome.exit_code or None,
        result=outcome.result,
    )  # fmt: skip


def _outcome(terminated: dict[str, Any]) -> Outcome:
    message = terminated.get("message", "")
    plain = Outcome(terminated.get("exitCode", 0), message)
    return plain if terminated.get("name") == _PROGRAM else Outcome.parse(message) or plain


def _terminated(pod: Object) -> Iterator[dict[str, Any]]:
    for one in containers(pod):
        if "terminated" in one.get("state", {}):
            yield {"name": one["name"], **one["state"]["terminated"]}


def _last(pod: Object) -> dict[str, Any]:
    return list(_terminated(pod))[-1]


def _failure(job: Object) -> dict[str, Any] | None:
    conditions = job.get("status", {}).get("conditions", ())
    return next((c for c in conditions if c["type"] == "Failed" and c["status"] == "True"), None)


def _started(pod: Object) -> datetime | None:
    """Return when the first container started."""
    states = (state for one in containers(pod) for state in one.get("state", {}).values())
    times = [parse_time(state["startedAt"]) for state in states if state.get("startedAt")]
    return min(times, default=None)


def _finished(pod: Object) -> datetime | None:
    times = [parse_time(one["finishedAt"]) for one in _terminated(pod) if one.get("finishedAt")]
    return max(times, default=None)
