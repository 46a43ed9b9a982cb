"""The calls of a kind of objects. The services of all kinds are alike, except for the kind's name in each RPC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from klever.api.codec import from_object
from klever.api.kinds import MODEL_JOB, SERVING, Kind
from klever.errors import FailedPreconditionError

__all__ = ["MODEL_JOBS", "SERVINGS", "StoredKind", "named", "refuse_deleting", "to_request"]


@dataclass(frozen=True, slots=True)
class StoredKind:
    """The RPCs of one kind. An RPC is named by its first word, such as `Get`, or in full, such as `StreamLogs`."""

    kind: Kind

    @property
    def plural(self) -> str:
        return self.kind.names[0]

    @property
    def singular(self) -> str:
        return self.kind.names[1]

    def supports(self, rpc: str) -> bool:
        return self._find(rpc) is not None

    def method(self, rpc: str) -> MethodDescriptor:
        """Return the descriptor of an RPC. Raises `KeyError` if the service lacks it."""
        found = self._find(rpc)
        if found is None:
            raise KeyError(f"{self.kind} has no {rpc}")
        return found

    def _find(self, rpc: str) -> MethodDescriptor | None:
        if self.kind.service is None:
            return None
        names = (f"{rpc}{self.kind}", f"{rpc}{self.kind}s", *((rpc,) if self.kind.leads_service else ()))
        methods = self.kind.service.methods_by_name
        return next((methods[name] for name in names if name in methods), None)

    def write(self, rpc: str, obj: Any, **fields: Any) -> Any:
        """Return a request with an object, which is a message or an object as in YAML.

        Raises `InvalidError` for an object with unknown fields.
        """
        message: Any = self.kind.message
        if isinstance(obj, Mapping):
            obj = from_object(dict(obj), message, strict=True)
        method = self.method(rpc)
        fields[self.kind.find_field(method.input_type)] = obj
        return to_request(method, {"name": obj.metadata.name, **fields})


def to_request(method: MethodDescriptor, fields: Mapping[str, Any]) -> Message:
    """Return a request. Fields that it lacks, such as the namespace for a kind without namespaces, are left out."""
    known: Any = method.input_type.fields_by_name
    return GetMessageClass(method.input_type)(**{name: value for name, value in fields.items() if name in known})


def named(name: str) -> str:
    """Return a filter for one object."""
    return f"metadata.name = {json.dumps(name)}"


MODEL_JOBS: Final = StoredKind(MODEL_JOB)
SERVINGS: Final = StoredKind(SERVING)


def refuse_deleting(what: str, obj: Any) -> None:
    """Raise `FailedPreconditionError` if an object is being deleted, because a change would be lost."""
    if obj.metadata.HasField("deletion_timestamp"):
        raise FailedPreconditionError(
            f"{what} is being deleted, and changes would be lost: run `klever wait {what} --for=delete`, then try again"
        )
