"""Converts processes of a Serving to messages of the API."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from klever.backends import Instance, InstancePhase
from klever.v1alpha1 import serving_service_pb2

__all__ = ["instance_message"]

_MESSAGE = serving_service_pb2.Instance
_PHASES: Final = {
    InstancePhase.PENDING: _MESSAGE.PENDING,
    InstancePhase.STARTING: _MESSAGE.STARTING,
    InstancePhase.READY: _MESSAGE.READY,
    InstancePhase.BACK_OFF: _MESSAGE.BACK_OFF,
    InstancePhase.FAILED: _MESSAGE.FAILED,
}
_SANDBOXES: Final = {"full": _MESSAGE.FULL, "landlock": _MESSAGE.LANDLOCK, "none": _MESSAGE.NONE}


def instance_message(instance: Instance) -> serving_service_pb2.Instance:
    """Return a process as a message."""
    started = Timestamp()
    if instance.started_at is not None:
        started.FromDatetime(instance.started_at)
    return _MESSAGE(
        name=instance.name,
        predictor=instance.predictor,
        workload=instance.workload,
        phase=_PHASES[instance.phase],
        reason=instance.reason,
        message=instance.message,
        restarts=instance.restarts,
        sandbox=_SANDBOXES.get(instance.sandbox, _MESSAGE.SANDBOX_UNSPECIFIED),
        sandbox_gaps=instance.sandbox_gaps,
        start_time=started if instance.started_at is not None else None,
    )
