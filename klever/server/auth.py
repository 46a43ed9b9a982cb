"""Translates an RPC to the terms of the Authorizer: a verb and an object."""

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
"""The verb by the first word of an RPC. Any other word updates a part of an object."""
_PLAIN: Final = frozenset({"Get", "List", "Watch", "Create", "Apply", "Update", "Delete"})
_PROJECT: Final = "Project"
_SERVER: Final = "ServerInfo"
_MODELS: Final = ("Model", "ModelVersion")
"""The resources of ModelService, which are not stored kinds."""


def is_read(method: str) -> bool:
    """Return whether the RPC with this bare name only reads."""
    return _VERBS.get(_words(method)[0]) in ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Action:
    """The action of one RPC, independent of its request."""

    verb: str
    kind: str
    subresource: str
    object_field: str = ""
    """The field of the request that holds the object. Empty if there is none."""
    namespaced: bool = True

    @classmethod
    def parse(cls, method: MethodDescriptor, kinds: Sequence[Kind]) -> Action:
        """Derive the action from the name of the RPC: `WatchServings`, `CancelModelJob`, `SetTraffic`, `StreamLogs`.

        `kinds` are the kinds of the service.
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
        """Whether the answer is expensive: a list, or a model, whose metadata is in a registry."""
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

    def describe(self, request: Any) -> str:
        """Return the object of a request for a log, such as `Serving default/digits`; without a name for a list."""
        resource = self.resource(request)
        own = getattr(request, self.object_field).metadata.name if self.object_field else ""
        name = "/".join(part for part in (resource.namespace, resource.name or own) if part)
        version = getattr(request, "version", "") or getattr(request, "tag", "")
        return f"{resource.kind} {name}{f' {version}' if version else ''}".rstrip()

    def _namespace(self, request: Any) -> str:
        """Return the namespace that the handler uses: that of the request, of the object, or the default."""
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
