"""The published routes on disk, for a restart."""

from __future__ import annotations

from typing import Any

import orjson

from klever.routers import TIMEOUT_SECONDS, Route, RouteKey, Target
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY, OPEN_INFERENCE, WireProtocol
from klever.traffic.matches import HeaderMatch, Match, MatchType

__all__ = ["decode_routes", "encode_routes"]


def encode_routes(routes: list[Route]) -> bytes:
    return orjson.dumps(routes, option=orjson.OPT_INDENT_2)


def decode_routes(content: bytes) -> list[Route]:
    """Return the routes. Raises ValueError, KeyError or TypeError for invalid content."""
    return [_route(fields) for fields in orjson.loads(content)]


def _route(fields: dict[str, Any]) -> Route:
    targets = tuple(_target(target) for target in fields["targets"])
    # Older versions had no retries, no owner and no timeout.
    return Route(
        RouteKey(**fields["key"]),
        targets,
        fields.get("retries", 0),
        fields.get("owner", ""),
        fields.get("timeout_seconds", TIMEOUT_SECONDS),
    )


def _target(fields: dict[str, Any]) -> Target:
    return Target(
        **fields
        | {
            "protocol": _protocol(fields["protocol"]),
            "http": tuple(fields["http"]),
            "grpc": tuple(fields["grpc"]),
            "matches": tuple(map(_match, fields["matches"])),
            "guard": Guard(fields.get("guard", "")),  # older versions had no guard
        }
    )


def _match(conditions: list[dict[str, Any]]) -> Match:
    return tuple(HeaderMatch(**c | {"type": MatchType(c["type"])}) for c in conditions)


def _protocol(fields: dict[str, str] | str) -> WireProtocol:
    if isinstance(fields, str):  # older versions had only the name
        return OPEN_INFERENCE if fields == OPEN_INFERENCE.name else ANY
    return WireProtocol(**fields)
