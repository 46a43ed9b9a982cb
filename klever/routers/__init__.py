"""The contract of a router, which sends inference requests to replicas.

A router publishes whole routes, one per Serving, and makes before it breaks: `publish` returns when the new route is
live, and requests in progress on removed targets continue until `drain` returns. It publishes only the paths of each
target's protocol, and removes the `Authorization` header of requests. `klever.cmd` alone chooses implementations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from klever.errors import FieldViolation
from klever.runtimes import Guard
from klever.runtimes.protocols import WireProtocol
from klever.traffic.matches import Match

__all__ = ["TIMEOUT_SECONDS", "Route", "RouteKey", "Router", "Target"]

TIMEOUT_SECONDS: Final = 300
"""How long a request may take unless its Serving says otherwise."""


@dataclass(frozen=True, slots=True, order=True)
class RouteKey:
    namespace: str
    serving: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.serving}"


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoints of one predictor workload. `weight` is a percentage over the targets without `matches`.

    A target with `matches` gets the requests that match any of them, before weights apply. `http` and `grpc` are
    `HOST:PORT` or `unix:PATH`; `grpc` is empty if the runtime speaks HTTP only.
    """

    predictor: str
    workload: str
    protocol: WireProtocol
    weight: int
    http: tuple[str, ...]
    grpc: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    guard: Guard = Guard.NONE
    """How to check requests, if the endpoints do not withstand all of them."""
    max_requests: int = 0
    """How many requests the endpoints of each protocol work on at a time; the others get 429. 0 for no such bound."""


@dataclass(frozen=True, slots=True)
class Route:
    """The targets of a Serving.

    A request that reaches no replica is sent to another one. One whose replica ends before it answers is sent again at
    most `retries` times. `owner` is the uid of the Serving: objects that a router makes on a cluster belong to it.
    """

    key: RouteKey
    targets: tuple[Target, ...]
    retries: int = 0
    owner: str = ""
    timeout_seconds: int = TIMEOUT_SECONDS
    """How long a request may take until it is answered completely."""

    @property
    def shares(self) -> dict[str, int]:
        """The percentages of the requests without a header match, by predictor."""
        return {t.predictor: t.weight for t in self.targets if not t.matches}


class Router(Protocol):
    """Publishes the routes of Servings."""

    def check(self, matches: tuple[Match, ...]) -> tuple[FieldViolation, ...]:
        """Return the matches of a predictor that this router does not support, with field paths below it. Pure."""

    async def publish(self, route: Route) -> None:
        """Publish the route, and return when it is live. Publishing an equal route again costs nothing.

        Raises `InvalidError` if the weights of targets without matches do not sum to 100 or the gateway rejects the
        route, `UnavailableError` if it does not apply the change in time, `ExhaustedError` if the disk is full. After
        an error, the old route stays.
        """

    async def withdraw(self, key: RouteKey) -> None:
        """Remove the route, if it exists. Its URL answers 404 afterwards."""

    async def drain(self, key: RouteKey, workload: str) -> None:
        """Return when the workload has no request in progress, or after the drain deadline."""

    async def routes(self) -> tuple[Route, ...]:
        """Return every published route, also after a restart."""

    def render(self, route: Route) -> dict[str, str]:
        """Return the files that publishing the route would write, by name. Pure."""

    def url(self, key: RouteKey) -> str:
        """Return the Serving's base URL for users, without a trailing slash."""
