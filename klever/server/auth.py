"""What an RPC does, in the terms of the Authorizer: a verb and an object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor

from klever.api.kinds import Kind
from klever.auth import Resource
from klever.server.requests import DEFAULT_NAMESPACE

__all__ = ["Action", "is_read"]

_VERBS: Final = {
    "Get": "get", "List": "list", "Watch": "watch", "Stream": "get", "Render": "get",
    "Create": "create", "Apply": "patch", "Update": "update", "Delete": "delete",
}  # fmt: skip
"""By the first word of an RPC; any other word updates a part of an object."""
_PLAIN: Final = frozenset({"Get", "List", "Watch", "Create", "Apply", "Update", "Delete"})
_PROJECT: Final = "Project"
_SERVER: Final = "ServerInfo"
_MODELS: Final = ("Model", "ModelVersion")
"""What ModelService has instead of kinds of objects."""


def is_read(method: str) -> bool:
    """Return whether an RPC (its bare name) changes nothing."""
    return _VERBS.get(_words(method)[0]) in ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Action:
    """What one RPC does, whatever its request says."""

    verb: str
    kind: str
    subresource: str
    object_field: str = ""
    """The request's field that holds the object; empty if the request has none."""
    namespaced: bool = True

    @classmethod
    def parse(cls, method: MethodDescriptor, kinds: Sequence[Kind]) -> Action:
        """Read it from the RPC's name: `WatchServings`, `CancelModelJob`, `SetTraffic`, `StreamLogs`.

        `kinds` are those of the service.
        """
        word, noun = _words(method.name)
        verb, name = _VERBS.get(word, "update"), noun.removesuffix("s")
        named = {kind.kind: kind for kind in kinds}
        if name in named or name in (_PROJECT, _SERVER, *_MODELS):
            return cls._about(named.get(name), name, method, verb, "" if word in _PLAIN else word.lower())
        leader = next((kind for kind in kinds if kind.leads_service), None)
        return cls._about(leader, str(leader or _MODELS[0]), method, verb, noun.lower())

    @classmethod
    def _about(cls, kind: Kind | None, name: str, method: MethodDescriptor, verb: str, subresource: str) -> Action:
        field = kind.find_field(method.input_type) if kind else ""
        return cls(verb, name, subresource, field, kind is None or kind.namespaced)

    @property
    def reads_much(self) -> bool:
        """Whether an answer takes long to make: lists, and models, whose metadata a registry keeps."""
        return self.verb == "list" or (self.verb == "get" and self.kind in _MODELS)

    def resource(self, request: Any) -> Resource:
        """Return the object that a request addresses."""
        if self.kind == _SERVER:
            return Resource(self.kind)
        if self.kind == _PROJECT:
            return Resource(self.kind, "", getattr(request, "name", ""), self.subresource)
        if self.kind in _MODELS:
            model = getattr(request, "model", "")
            return Resource(self.kind, request.project, model, self.subresource)
        return Resource(self.kind, self._namespace(request), getattr(request, "name", ""), self.subresource)

    def _namespace(self, request: Any) -> str:
        """Return the namespace that the handler will use: the request's, or the object's, or the default."""
        if not self.namespaced:
            return ""
        if self.verb in ("list", "watch") and self.subresource in ("", "events"):
            return "" if request.namespace == "-" else str(request.namespace)
        own = getattr(request, self.object_field).metadata.namespace if self.object_field else ""
        return request.namespace or own or DEFAULT_NAMESPACE


def _words(method: str) -> tuple[str, str]:
    """Split the first word of an RPC's name from the rest."""
    match = re.fullmatch(r"([A-Z][a-z]+)(\w*)", method)
    return (match[1], match[2]) if match else (method, "")
