"""Routers: how inference traffic reaches replicas.

A router publishes whole routes, one for each Serving, and makes before it breaks: `publish` returns when the new route
is live, and requests under way on targets that the route no longer names continue until `drain` returns. It publishes
the paths of each target's protocol and no others, and no request's `Authorization` header. `klever.cmd` alone chooses
implementations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from klever.errors import FieldViolation
from klever.runtimes import Guard
from klever.runtimes.protocols import WireProtocol
from klever.traffic.matches import Match

__all__ = ["Route", "RouteKey", "Router", "Target"]


@dataclass(frozen=True, slots=True, order=True)
class RouteKey:
    namespace: str
    serving: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.serving}"


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoints of one predictor workload. `weight` is a percentage over the targets without `matches`.

    A target with `matches` gets the requests that any of them takes, before weights are looked at. `http` and `grpc`
    are `HOST:PORT` or `unix:PATH`; `grpc` is empty if the runtime speaks HTTP only.
    """

    predictor: str
    workload: str
    protocol: WireProtocol
    weight: int
    http: tuple[str, ...]
    grpc: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    guard: Guard = Guard.NONE
    """How requests must be checked, because one of the endpoints does not withstand all of them."""


@dataclass(frozen=True, slots=True)
class Route:
    key: RouteKey
    targets: tuple[Target, ...]

    @property
    def shares(self) -> dict[str, int]:
        """The percentages of the requests that no header match takes, by predictor."""
        return {t.predictor: t.weight for t in self.targets if not t.matches}


class Router(Protocol):
    """Publishes the routes of Servings."""

    def check(self, matches: tuple[Match, ...]) -> tuple[FieldViolation, ...]:
        """Return the matches of a predictor that this router does not support, by field path below it. Pure."""

    async def publish(self, route: Route) -> None:
        """Make the route live, and return when it is. Publishing an equal route again costs nothing.

        Raises `InvalidError` if the weights of targets without matches do not sum to 100, or the gateway refuses the
        route, `UnavailableError` if it does not take the change in time, `ExhaustedError` if the disk is full. The old
        route then stays.
        """

    async def withdraw(self, key: RouteKey) -> None:
        """Remove the route, if there is one. Its URL answers 404 afterwards."""

    async def drain(self, key: RouteKey, workload: str) -> None:
        """Return when no request is under way to that workload, or after the drain deadline."""

    async def routes(self) -> tuple[Route, ...]:
        """Return every published route, also after a restart."""

    def render(self, route: Route) -> dict[str, str]:
        """Return what publishing the route would write, by file name. Pure."""

    def url(self, key: RouteKey) -> str:
        """Return the Serving's base URL for users, without a trailing slash."""
