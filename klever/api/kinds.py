"""The kinds that a store holds: a table. Adding a kind is adding a proto message and a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from klever.v1alpha1.inspection_pb2 import ModelInspection
from klever.v1alpha1.meta_pb2 import Event
from klever.v1alpha1.modeljob_pb2 import ModelJob
from klever.v1alpha1.revision_pb2 import ServingRevision
from klever.v1alpha1.serving_pb2 import Serving

__all__ = [
    "EVENT",
    "GROUP",
    "KINDS",
    "MODEL_INSPECTION",
    "MODEL_JOB",
    "NAMESPACE",
    "SERVING",
    "SERVING_REVISION",
    "Kind",
    "Object",
]

GROUP = "kleveross.io"

Object = dict[str, Any]
"""One object as Kubernetes JSON. Treated as immutable once a store has returned it."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind and how it is addressed. `message` is None where no API message exists.

    Each is one object, equal to itself alone: they are keys wherever objects are looked up.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    has_status: bool = True
    message: type[Message] | None = None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """Plural with the group, as in messages of Kubernetes: `servings.kleveross.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def __str__(self) -> str:
        return self.kind


MODEL_JOB = Kind(GROUP, "v1alpha1", "ModelJob", "modeljobs", message=ModelJob)
SERVING = Kind(GROUP, "v1alpha1", "Serving", "servings", message=Serving)
SERVING_REVISION = Kind(GROUP, "v1alpha1", "ServingRevision", "servingrevisions", message=ServingRevision)
MODEL_INSPECTION = Kind(
    GROUP,
    "v1alpha1",
    "ModelInspection",
    "modelinspections",
    namespaced=False,
    has_status=False,
    message=ModelInspection,
)
EVENT = Kind("", "v1", "Event", "events", has_status=False, message=Event)
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)

KINDS: tuple[Kind, ...] = (MODEL_JOB, SERVING, SERVING_REVISION, MODEL_INSPECTION, EVENT, NAMESPACE)
