"""The contracts of the control plane. One builder per way to run makes a platform of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from klever.backends import Backend
from klever.catalog.catalogue import Catalogue
from klever.executors import Executor
from klever.routers import Router
from klever.runtimes import Runtime

__all__ = ["Platform"]


@dataclass(frozen=True, slots=True)
class Platform:
    """The implementations: executor, backend, router and catalogue.

    `runtimes` are those that the backend launches, by name. `gateway_metrics` returns the router's own metrics in
    Prometheus' text format.
    """

    executor: Executor
    backend: Backend
    router: Router
    catalogue: Catalogue
    runtimes: Mapping[str, Runtime]
    gateway_metrics: Callable[[], Awaitable[str]]
