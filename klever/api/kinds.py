"""The table of kinds. A row has everything that distinguishes a kind from others.

To add a kind, write its proto message and its service, and one row of `KINDS`. The API, the command line, the stores,
the metrics and the RBAC roles follow from the row, which also names the controllers that watch the kind. A controller
has a row in the table of `klever/cmd/control.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import Message

from klever.api.columns import Column
from klever.v1alpha1 import job_service_pb2, schema_pb2, serving_service_pb2
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

GROUP: Final = "kleveross.io"
_VERSION: Final = "v1alpha1"

Object = dict[str, Any]
"""One object as Kubernetes JSON. Callers must not modify an object that a store returned."""


@dataclass(frozen=True, eq=False)
class Kind:
    """One row. Kinds compare by identity, so that they can be keys."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    has_status: bool = True
    message: type[Message] | None = None
    """The message; None for a kind that the API does not show as an object."""
    names: tuple[str, ...] = ()
    """The names on the command line: the plural, the singular, then short names."""
    columns: tuple[Column, ...] = ()
    """The columns of tables, after the name."""
    selectable: tuple[str, ...] = ()
    """Paths outside the metadata that field selectors may name, e.g. `status.phase`."""
    updates: tuple[str, ...] = ("spec", "metadata.labels", "metadata.annotations")
    """What an update without a mask changes."""
    service: ServiceDescriptor | None = None
    """The gRPC service with the kind's methods, such as GetServing and ListServings."""
    leads_service: bool = True
    """Whether methods without a kind in their names, such as StreamLogs, belong to this kind."""
    controllers: tuple[str, ...] = ()
    """The controllers that watch objects of this kind."""
    controller_verbs: tuple[str, ...] = ()
    """The Kubernetes verbs that the controllers need on its objects. They also patch the status of Klever's kinds."""
    server_verbs: tuple[str, ...] = ()
    """The Kubernetes verbs that the API server of Klever needs on its objects."""

    @classmethod
    def describe(
        cls,
        message: type[Message],
        *,
        updates: tuple[str, ...] = ("spec", "metadata.labels", "metadata.annotations"),
        service: ServiceDescriptor | None = None,
        leads_service: bool = True,
        controllers: tuple[str, ...] = (),
        controller_verbs: tuple[str, ...] = (),
        server_verbs: tuple[str, ...] = (),
    ) -> Kind:
        """Return the row of one of Klever's own kinds. Its names and columns are options of its message."""
        descriptor: Any = message.DESCRIPTOR
        resource = descriptor.GetOptions().Extensions[schema_pb2.message_schema].resource
        return cls(
            GROUP,
            _VERSION,
            descriptor.name,
            resource.plural,
            namespaced=not resource.cluster_scoped,
            has_status="status" in descriptor.fields_by_name,
            message=message,
            names=(resource.plural, resource.singular, *resource.short_names),
            columns=tuple(Column(c.name, c.json_path, c.type, wide=c.priority > 0) for c in resource.columns),
            selectable=tuple(resource.selectable_fields),
            updates=updates,
            service=service,
            leads_service=leads_service,
            controllers=controllers,
            controller_verbs=controller_verbs,
            server_verbs=server_verbs,
        )

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The plural with the group, as in Kubernetes' messages: `servings.kleveross.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_own(self) -> bool:
        """Whether it is a kind of Klever with a CustomResourceDefinition, not one of Kubernetes."""
        return self.group == GROUP

    @cached_property
    def has_phase(self) -> bool:
        """Whether its status has a phase."""
        status: Any = self._status
        return status is not None and "phase" in status.fields_by_name

    @property
    def _status(self) -> Descriptor | None:
        field: Any = self.message.DESCRIPTOR.fields_by_name.get("status") if self.message else None
        return field.message_type if field is not None else None

    def find_field(self, request: Descriptor) -> str:
        """Return the name of the request's field with an object of this kind; empty if there is none."""
        wanted: Any = self.message.DESCRIPTOR if self.message else None
        fields: Any = request.fields
        return next((field.name for field in fields if wanted is not None and field.message_type is wanted), "")

    def __str__(self) -> str:
        return self.kind


_EDIT: Final = ("create", "get", "list", "watch", "patch", "delete")

MODEL_JOB: Final = Kind.describe(
    ModelJob,
    updates=("metadata.labels", "metadata.annotations"),  # the spec is immutable
    service=job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
    controllers=("modeljob", "serving"),
    # create: for a missing signature or inspection; patch: finalizers; delete: after ttlSecondsAfterFinished
    controller_verbs=("create", "list", "watch", "patch", "delete"),
    server_verbs=_EDIT,
)
SERVING: Final = Kind.describe(
    Serving,
    service=serving_service_pb2.DESCRIPTOR.services_by_name["ServingService"],
    controllers=("serving",),
    controller_verbs=("list", "watch", "patch"),
    server_verbs=_EDIT,
)
SERVING_REVISION: Final = Kind.describe(
    ServingRevision,
    service=serving_service_pb2.DESCRIPTOR.services_by_name["ServingService"],
    leads_service=False,
    controller_verbs=("create", "list", "watch", "delete"),  # delete: beyond spec.revisionHistoryLimit
    server_verbs=("list",),
)
MODEL_INSPECTION: Final = Kind.describe(
    ModelInspection,
    controller_verbs=("create", "list", "watch", "patch", "delete"),  # delete: inspections of unused content
)
_INVOLVED: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
EVENT: Final = Kind(
    "",
    "v1",
    "Event",
    "events",
    has_status=False,
    message=Event,
    selectable=(*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "reportingComponent", "source", "type"),
    controller_verbs=("create", "patch"),  # patch: counts a repeated Event
    server_verbs=("list",),
)
NAMESPACE: Final = Kind(
    "",
    "v1",
    "Namespace",
    "namespaces",
    namespaced=False,
    selectable=("status.phase",),
    controllers=("serving",),
    controller_verbs=("list", "watch"),  # the label kleveross.io/allow-code
    server_verbs=("create", "get", "list", "patch"),  # projects are namespaces; patch: the same label
)

KINDS: Final[tuple[Kind, ...]] = (MODEL_JOB, SERVING, SERVING_REVISION, MODEL_INSPECTION, EVENT, NAMESPACE)
