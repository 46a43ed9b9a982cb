"""The secrets of a task on this machine: access to the registries that it names, and to no others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

from klever.auth.task_tokens import Grant, derive_key, sign
from klever.executors import Task
from klever.executors.local import Provision
from klever.limits import Limits
from klever.process import Network

__all__ = ["EmbeddedRegistry", "PlatformRegistry", "Provisions", "RemoteRegistry"]

_SLACK: Final = timedelta(minutes=5)
"""A token outlives its task by this time, so that a task at its deadline can still push its last layer."""

Grants = Mapping[str, set[Grant]]


class PlatformRegistry(Protocol):
    """Access of tasks to the registry of references without a host."""

    @property
    def socket(self) -> Path | None:
        """Return the directory of its Unix socket; None if it is on the network."""

    def access(self, grants: Grants, expires: datetime) -> dict[str, Any]:
        """Return `url`, `token`, `ca` and `plaintext` for a task that needs `grants` until `expires`."""


@dataclass(frozen=True, slots=True)
class EmbeddedRegistry:
    """The embedded registry: each task gets its own token, and the socket instead of a network."""

    path: Path
    secret: str

    @property
    def socket(self) -> Path | None:
        return self.path.parent

    def access(self, grants: Grants, expires: datetime) -> dict[str, Any]:
        return {"url": f"http+unix://{self.path}", "token": sign(derive_key(self.secret), grants, expires)}


@dataclass(frozen=True, slots=True)
class RemoteRegistry:
    """An external registry. Every task gets its token, if it has one."""

    url: str
    token: Callable[[], str]
    ca: Path | None
    plaintext: bool
    socket: Path | None = None

    def access(self, grants: Grants, expires: datetime) -> dict[str, Any]:  # noqa: ARG002 - it signs no tokens
        ca = {"ca": str(self.ca)} if self.ca else {}
        return {"url": self.url, "token": self.token(), "plaintext": self.plaintext, **ca}


@dataclass(frozen=True, slots=True)
class Provisions:
    """`table` is the table of further registries, by host, with their passwords. `plugins` are directories of plugins,
    which tasks may read wherever they are.
    """

    registry: PlatformRegistry
    table: Mapping[str, Any]
    limits: Limits
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    plugins: tuple[Path, ...] = ()

    def __call__(self, task: Task) -> Provision:
        """Return the secrets and paths of a task."""
        hosts = {access.host for access in task.registries if access.host}
        entries = {host: self.table[host] for host in hosts if host in self.table}
        grants: dict[str, set[Grant]] = {}
        for access in task.registries:
            if not access.host:
                grants.setdefault(access.repository, {"pull"}).update({"push"} if access.push else ())
        expires = self.clock() + timedelta(seconds=task.timeout_s or self.limits.task_seconds) + _SLACK
        own = self.registry.access(grants, expires) if grants else None
        registry = {"platform": own, "entries": entries}
        local = not hosts and self.registry.socket is not None
        return Provision(
            secrets=registry,
            read=(*self.plugins, *_paths(self.registry.socket if grants else None, (own or {}, *entries.values()))),
            network=Network.LOCAL if local else Network.FULL,
        )


def _paths(socket: Path | None, registries: tuple[Mapping[str, Any], ...]) -> Iterator[Path]:
    """Yield the paths that a task reads: this interpreter and its packages, this package, sockets and CA files."""
    yield from (Path(sys.prefix), Path(sys.base_prefix), Path(str(files("klever"))))
    if socket is not None:
        yield socket
    for registry in registries:
        if registry.get("ca"):
            yield Path(registry["ca"])
