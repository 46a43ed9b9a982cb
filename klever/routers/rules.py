"""The requests that a route publishes, as rules that every router writes in its own form: an allow-list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from klever.routers import Route, RouteKey, Target
from klever.runtimes import Guard
from klever.runtimes.protocols import ANY, WireProtocol
from klever.traffic.matches import HeaderMatch, Match

__all__ = ["BASE", "Call", "Rule", "build_rules", "retry_policy"]

BASE: Final = "/seldon"
_UNSENT: Final = ("connect-failure", "refused-stream", "reset-before-request")
"""The failures of Envoy's retry_on in which no replica has received the request."""
_UNSENT_RETRIES: Final = 2


class Call(Enum):
    HTTP = auto()
    GRPC = auto()
    STREAM = auto()
    """A gRPC call whose messages come one by one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests, and the targets that share them.

    `path` is a regular expression (RE2) for whole paths, but the path itself for a STREAM. `targets` have endpoints for
    the call and a weight above 0; there are none if no replica is ready.
    """

    call: Call
    path: str
    headers: Match
    targets: tuple[tuple[Target, int], ...]
    guarded: bool


def build_rules(route: Route) -> list[Rule]:
    """Return the rules of a Serving, header matches first."""
    shared = tuple(t for t in route.targets if not t.matches)
    groups = [(match, (t,)) for t in route.targets for match in t.matches] + ([((), shared)] if shared else [])
    return [rule for match, targets in groups for rule in _rules(route.key, match, targets)]


def retry_policy(retries: int) -> tuple[int, tuple[str, ...]]:
    """Return how often a request is sent again, and after which failures (Envoy's retry_on).

    A request that reached no replica is always sent to another one: a replica has just ended. A replica that ends while
    it works on a request may have acted on it. `retries` says how often such a request is sent again.
    """
    return max(retries, _UNSENT_RETRIES), ((*_UNSENT, "reset") if retries else _UNSENT)


def _rules(key: RouteKey, match: Match, targets: tuple[Target, ...]) -> Iterator[Rule]:
    """Yield the rules of targets that share the requests of a match.

    A path goes to the targets that publish it. A target that publishes every path does not widen another's allow-list.
    """
    protocols = sorted({t.protocol for t in targets}, key=lambda protocol: (protocol == ANY, protocol.name))
    for protocol in protocols:
        yield _http(key, protocol, match, [t for t in targets if t.protocol in (protocol, ANY)])
    for protocol in protocols:
        if protocol.methods:
            yield from _grpc(key, protocol, match, targets)
            return


def _http(key: RouteKey, protocol: WireProtocol, match: Match, targets: Sequence[Target]) -> Rule:
    base = re.escape(f"{BASE}/{key.namespace}/{key.serving}")
    paths = base + protocol.paths.replace("{name}", re.escape(key.serving))
    shares = tuple((t, _weight(t)) for t in targets if t.http and _weight(t))
    return Rule(Call.HTTP, paths, match, shares, _guarded(targets))


def _grpc(key: RouteKey, protocol: WireProtocol, match: Match, targets: Sequence[Target]) -> Iterator[Rule]:
    addressed = (HeaderMatch("seldon", key.serving), HeaderMatch("namespace", key.namespace))
    shares = tuple((t, _weight(t)) for t in targets if t.grpc and _weight(t))
    yield Rule(Call.GRPC, protocol.methods, (*addressed, *match), shares, _guarded(targets))
    yield Rule(Call.STREAM, protocol.stream, (*addressed, *match), shares, _guarded(targets))


def _weight(target: Target) -> int:
    return 100 if target.matches else target.weight


def _guarded(targets: Sequence[Target]) -> bool:
    return any(target.guard is Guard.TRITON for target in targets)
