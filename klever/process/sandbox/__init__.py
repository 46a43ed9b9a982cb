"""The sandbox around every process that runs for a user: what it may see, and how the machine enforces that.

`Sandbox` is the request: the paths that a process reads and writes, and its network. A `Confinement` turns a process
and its sandbox into the command that a shim runs. There are three, from the strongest to the weakest:

    full        bubblewrap: separate namespaces, a seccomp filter, and a separate user if the platform is root
    landlock    Landlock and a seccomp filter, on kernel 5.13 or later
    none        no confinement

`klever.process.sandbox.choose` picks the strongest that works on this machine. docs/security.md says what each
promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

__all__ = [
    "NET_ABI",
    "PORT_GAP",
    "SECCOMP_FD",
    "SETTINGS_FD",
    "Command",
    "Confinement",
    "Level",
    "Network",
    "Payload",
    "Sandbox",
    "Unconfined",
]

NET_ABI: Final = 4
PORT_GAP: Final = "a command can bind IPv4 ports other than its own (before Linux 6.7)"
"""The first version of Landlock (Linux 6.7) that restricts TCP ports."""
SECCOMP_FD: Final = 8
"""The descriptor from which a sandbox reads its seccomp filter."""
SETTINGS_FD: Final = 9
"""The descriptor from which a sandbox reads its settings, so that the list of processes does not show them."""


class Level(StrEnum):
    """The strength of the confinement."""

    FULL = "full"
    LANDLOCK = "landlock"
    NONE = "none"


class Network(StrEnum):
    """What a process may do with the network."""

    NONE = "none"
    """It may only listen on Unix sockets."""
    LOCAL = "local"
    """It may listen on Unix sockets, and connect to the Unix sockets that the sandbox shows."""
    LISTEN = "listen"
    """It may listen on the TCP ports in `Sandbox.ports`, and make no connection."""
    FULL = "full"
    """It may use TCP and UDP in the network of the platform."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a process may use in addition to the system's programs and libraries in /usr.

    `read` are files and directories that it reads and executes. `write` are directories that it owns; the first one
    holds its termination message. `ports` are the TCP ports that it may bind with `Network.LISTEN`; before Linux 6.7
    the kernel cannot enforce them, and the process has no IPv6 instead. `write_bytes` bounds the disk space of all of
    `write`, `memory_bytes` each of /tmp and /dev/shm, and `processes` the number of its processes.
    """

    read: tuple[Path, ...]
    write: tuple[Path, ...]
    network: Network = Network.NONE
    ports: tuple[int, ...] = ()
    write_bytes: int = 1 << 30
    memory_bytes: int = 1 << 30
    processes: int = 512


@dataclass(frozen=True, slots=True)
class Payload:
    """The process inside a sandbox: its arguments, its whole environment, and its working directory."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True)
class Command:
    """What a shim runs to start a payload.

    `inputs` are contents by descriptor number. The payload is `depth` generations below the command and receives the
    signals for a graceful end.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    inputs: Mapping[int, bytes] = field(default_factory=dict)
    depth: int = 0


class Confinement(Protocol):
    """One way to confine processes on this machine."""

    @property
    def level(self) -> Level: ...

    @property
    def description(self) -> str:
        """Return the name of the mechanism, for people."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return what it does not enforce because the kernel is too old, each with the version of Linux that does."""

    def uses_another_user(self, sandbox: Sandbox) -> bool:
        """Return whether the payload runs as a separate user, which then owns `Sandbox.write`."""

    def command(self, payload: Payload, sandbox: Sandbox, user: int | None) -> Command:
        """Return the command that runs `payload` in `sandbox`, as the user id `user` unless it is None."""


class Unconfined:
    """Runs processes without confinement."""

    level: Final = Level.NONE
    description: Final = "this machine offers neither bubblewrap nor Landlock"
    gaps: Final[tuple[str, ...]] = ()

    def uses_another_user(self, sandbox: Sandbox) -> bool:  # noqa: ARG002 - the protocol's signature
        return False

    def command(self, payload: Payload, sandbox: Sandbox, user: int | None) -> Command:  # noqa: ARG002 - the protocol's signature
        return Command(payload.argv, payload.env)
