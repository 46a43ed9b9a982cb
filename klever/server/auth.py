"""What an RPC asks for: the verb and the object, for the Authorizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor

from klever.auth import Resource
from klever.server.objects import DEFAULT_NAMESPACE

__all__ = ["Action", "is_read"]

_VERBS: Final = {
    "Get": "get", "List": "list", "Watch": "watch", "Stream": "get", "Render": "get",
    "Create": "create", "Apply": "patch", "Update": "update", "Delete": "delete",
}  # fmt: skip
"""By the first word of an RPC; any other word updates a part of an object."""
_PLAIN: Final = frozenset({"Get", "List", "Watch", "Create", "Apply", "Update", "Delete"})
_OWN_KIND: Final = {"JobService": "ModelJob", "ServingService": "Serving", "ModelService": "Model"}
_OBJECTS: Final = {"ModelJob": "model_job", "Serving": "serving"}
"""The field of a request that holds the object, by kind."""
_KINDS: Final = frozenset({"ModelJob", "Serving", "Project", "Model", "ModelVersion"})


def is_read(method: str) -> bool:
    """Return whether an RPC (its bare name) changes nothing."""
    return _VERBS.get(_words(method)[0]) in ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Action:
    """What one RPC does, whatever its request says."""

    verb: str
    kind: str
    subresource: str

    @classmethod
    def parse(cls, method: MethodDescriptor) -> Action:
        """Read it from the RPC's name: `WatchServings`, `CancelModelJob`, `SetTraffic`, `StreamLogs`."""
        word, noun = _words(method.name)
        verb, kind = _VERBS.get(word, "update"), noun.removesuffix("s")
        if kind in _KINDS:
            return cls(verb, kind, "" if word in _PLAIN else word.lower())
        return cls(verb, _OWN_KIND[method.containing_service.name], noun.lower())

    def resource(self, request: Any) -> Resource:
        """Return the object that a request addresses."""
        if self.kind == "Project":
            return Resource(self.kind, "", getattr(request, "name", ""), self.subresource)
        if self.kind in ("Model", "ModelVersion"):
            model = getattr(request, "model", "")
            return Resource(self.kind, request.project, model, self.subresource)
        return Resource(self.kind, self._namespace(request), getattr(request, "name", ""), self.subresource)

    def _namespace(self, request: Any) -> str:
        """Return the namespace that the handler will use: the request's, or the object's, or the default."""
        if self.verb in ("list", "watch") and not self.subresource:
            return "" if request.namespace == "-" else str(request.namespace)
        written = getattr(request, _OBJECTS[self.kind], None)
        own = written.metadata.namespace if written is not None else ""
        return request.namespace or own or DEFAULT_NAMESPACE


def _words(method: str) -> tuple[str, str]:
    """Split the first word of an RPC's name from the rest."""
    match = re.fullmatch(r"([A-Z][a-z]+)(\w*)", method)
    return (match[1], match[2]) if match else (method, "")
