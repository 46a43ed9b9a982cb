"""The published route as an annotation of its VirtualService, for a restart."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from klever.api.kinds import GROUP, Kind, Object
from klever.kube.kinds import DESTINATION_RULE, SERVICE_ENTRY, VIRTUAL_SERVICE
from klever.routers import Route
from klever.routers.istio.objects import Objects
from klever.routers.state import decode_routes, encode_routes

__all__ = ["PUBLISHED", "Published", "annotate", "read_published"]

log = logging.getLogger(__name__)

PUBLISHED: Final = f"{GROUP}/published"
"""Annotation: the route, and the digests of its objects."""
_KINDS: Final = {kind.kind: kind for kind in (DESTINATION_RULE, SERVICE_ENTRY)}


@dataclass(frozen=True, slots=True)
class Published:
    """A route, and the names of the objects that its VirtualService needs."""

    route: Route
    parts: frozenset[tuple[Kind, str]]


def annotate(service: Object, route: Route, parts: Iterable[tuple[Kind, Object]]) -> Object:
    """Return the VirtualService with its route."""
    published = {
        "route": json.loads(encode_routes([route])),
        "spec": _digest(service["spec"]),
        "parts": {f"{kind.kind}/{obj['metadata']['name']}": _digest(obj["spec"]) for kind, obj in parts},
    }
    return {**service, "metadata": {**service["metadata"], "annotations": {PUBLISHED: json.dumps(published)}}}


def read_published(service: Object, objects: Objects) -> Published | None:
    """Return the route of a VirtualService; None if it or an object that it needs was changed meanwhile."""
    metadata = service["metadata"]
    try:
        published = json.loads(metadata.get("annotations", {}).get(PUBLISHED, ""))
        (route,) = decode_routes(json.dumps(published["route"]).encode())
        named = [(_KINDS[kind], name, digest) for kind, name, digest in _named(published["parts"])]
        same = _digest(service["spec"]) == published["spec"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        log.warning("VirtualService %s/%s will be written anew: %s", metadata["namespace"], metadata["name"], error)
        return None
    found = [(kind, objects.get(kind, metadata["namespace"], name), digest) for kind, name, digest in named]
    if not same or any(obj is None or _digest(obj["spec"]) != digest for _, obj, digest in found):
        return None
    objects.adopt(VIRTUAL_SERVICE, service)
    for kind, obj, _ in found:
        if obj is not None:
            objects.adopt(kind, obj)
    return Published(route, frozenset((kind, name) for kind, name, _ in named))


def _named(parts: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    for name, digest in parts.items():
        kind, _, rest = name.partition("/")
        yield kind, rest, digest


def _digest(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
