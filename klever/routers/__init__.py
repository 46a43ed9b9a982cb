"""Routers: how inference traffic reaches replicas.

A router publishes whole routes, one per Serving, and guarantees make-before-break: `publish` returns when the new
route is live, and requests under way on targets that it no longer names go on until `drain` returns. It publishes an
allow-list of paths per protocol, nothing else. Implementations are chosen by `klever.cmd` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from klever.errors import FieldViolation
from klever.runtimes import Guard
from klever.runtimes.protocols import WireProtocol
from klever.traffic.matches import HeaderMatch

__all__ = ["Route", "RouteKey", "Router", "Target"]


@dataclass(frozen=True, slots=True, order=True)
class RouteKey:
    namespace: str
    serving: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.serving}"


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoints of one predictor workload. `weight` is a percentage over the targets without `headers`.

    A target with `headers` gets the requests that match all of them, before weights are looked at. `http` and `grpc`
    are `HOST:PORT` or `unix:PATH`; `grpc` is empty where the runtime speaks HTTP only.
    """

    predictor: str
    workload: str
    protocol: WireProtocol
    weight: int
    http: tuple[str, ...]
    grpc: tuple[str, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()
    guard: Guard = Guard.NONE
    """What the requests must be checked for, because one of the endpoints does not withstand it."""


@dataclass(frozen=True, slots=True)
class Route:
    key: RouteKey
    targets: tuple[Target, ...]

    @property
    def shares(self) -> dict[str, int]:
        """The percentages of the requests that no header match takes, by predictor."""
        return {t.predictor: t.weight for t in self.targets if not t.headers}


class Router(Protocol):
    """Publishes the routes of Servings."""

    def check(self, headers: tuple[HeaderMatch, ...]) -> tuple[FieldViolation, ...]:
        """Return the matches of a predictor that this router does not support, by field path below it. Pure."""

    async def publish(self, route: Route) -> None:
        """Make the route live; returns when it is. Publishing an equal route again costs nothing.

        Raises `InvalidError` if the weights of targets without headers do not sum to 100, or the gateway refuses the
        route, `UnavailableError` if it does not take the change in time, `ExhaustedError` if the disk is full. The old
        route then stays.
        """

    async def withdraw(self, key: RouteKey) -> None:
        """Remove the route; its URL answers 404 afterwards. Unknown keys are no error."""

    async def drain(self, key: RouteKey, workload: str) -> None:
        """Return when no request is under way to that workload any more, or after the drain deadline."""

    async def routes(self) -> tuple[Route, ...]:
        """Return every published route (known again after a restart)."""

    def render(self, route: Route) -> dict[str, str]:
        """Return what publishing the route would write, by file name. Pure."""

    def url(self, key: RouteKey) -> str:
        """Return the Serving's base URL for users, without a trailing slash."""
