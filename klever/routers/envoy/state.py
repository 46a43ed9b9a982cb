"""The published routes on disk, so that a restart forgets nobody's."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from klever.routers import HeaderMatch, MatchType, Route, RouteKey, Target
from klever.runtimes import WireProtocol

__all__ = ["decode_routes", "encode_routes"]


def encode_routes(routes: list[Route]) -> bytes:
    return json.dumps([asdict(route) for route in routes], indent=1).encode()


def decode_routes(content: bytes) -> list[Route]:
    """Raises ValueError, KeyError or TypeError for what `encode_routes` did not write."""
    return [Route(RouteKey(**r["key"]), tuple(_target(t) for t in r["targets"])) for r in json.loads(content)]


def _target(fields: dict[str, Any]) -> Target:
    headers = tuple(HeaderMatch(h["name"], h["value"], MatchType(h["type"])) for h in fields["headers"])
    return Target(
        **fields
        | {
            "protocol": WireProtocol(fields["protocol"]),
            "http": tuple(fields["http"]),
            "grpc": tuple(fields["grpc"]),
            "headers": headers,
        }
    )
