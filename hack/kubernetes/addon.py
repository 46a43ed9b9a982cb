"""The contract of an add-on: a part of a cluster of the tier `full` that is started on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hack.kubernetes.layout import Layout
from hack.kubernetes.network import Network

__all__ = ["Addon", "Process"]


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the node. `ready` is a URL, or a path of the API server's, that succeeds when it is ready."""

    command: tuple[str, ...]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Addon(Protocol):
    @property
    def processes(self) -> tuple[str, ...]:
        """Return their names, in the order in which they start."""

    def prepare(self) -> None:
        """Build or find its programs. Raises `MissingError` with what this machine lacks."""

    def files(self, layout: Layout, network: Network) -> Mapping[str, str]:
        """Return the configuration files, by their names in the cluster's directory."""

    def objects(self, network: Network) -> Sequence[Mapping[str, Any] | str]:
        """Return the objects to apply before the processes start."""

    def process(self, name: str, layout: Layout, network: Network) -> Process:
        """Return how one of the processes is started."""
