"""Serving runtimes: from a model and a predictor to files and a process. Pure.

A runtime is a module or package of this folder with a row in `klever.runtimes.table`. It says what to write and what to
run; a backend does both, with local processes or containers. Forbidden here: model frameworks, except in the files that
a runtime ships into its environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from klever.formats import Signature
from klever.runtimes.protocols import WireProtocol

__all__ = ["Guard", "Launch", "Model", "Placement", "Probe", "Runtime", "unix_path"]


class Guard(StrEnum):
    """The check that a router makes before a request reaches a replica, because the server does not survive without."""

    NONE = ""
    TRITON = "triton"
    """Refuse requests of the Open Inference Protocol that crash a Triton server."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model that a predictor serves, as its metadata describes it.

    `name` is the name that it must answer under (the Serving's), `format` as in `klever.formats`, `files` the regular
    files below the model directory (sorted, relative), `signature` None if the version has none. `code` says that it
    executes what its author wrote, and may.
    """

    name: str
    format: str
    files: tuple[str, ...]
    signature: Signature | None
    code: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a replica runs: the addresses and directories that a backend chose for it.

    `store` is MODEL_STORE (`Launch.files` and `Launch.links` are laid out in it, read-only), `work` the directory in
    which the replica writes, `model` the unpacked model directory (read-only, shared), `environments` the directories
    of `Runtime.environments`, by name. The replica listens on Unix sockets in `sockets`; where that is None, or the
    runtime has `uses_ports`, it listens on the ports of `host`.
    """

    host: str
    store: PurePosixPath
    work: PurePosixPath
    model: PurePosixPath
    http_port: int = 0
    grpc_port: int = 0
    metrics_port: int = 0
    sockets: PurePosixPath | None = None
    environments: Mapping[str, PurePosixPath] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    probe_path: str = ""
    threads: int = 0
    """CPU cores that the predictor asks for, rounded up; 0 if it names none."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An HTTP request that a healthy replica answers with 2xx; with an empty path, accepting connections is enough.

    A probe is an inference: a runtime whose model died may still call itself ready. An answer of another status that
    holds one of `own_errors` is healthy too: the model itself refused these values, so it runs. The request's body is
    `body`, then `zeros` zero bytes, which are never all in memory. It is sent to `address`, or to `Launch.http`
    where that is empty.
    """

    path: str
    method: str = "GET"
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    own_errors: tuple[bytes, ...] = ()
    zeros: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a backend lays out and runs for one replica.

    `files` are contents by path below `Placement.store`; `links` point from a path below the store to a path below
    `Placement.model` ("" for the directory itself). `http`, `grpc` and `metrics` are addresses, `HOST:PORT` or
    `unix:PATH`; `grpc` and `metrics` are empty where the replica does not offer them. Metrics are at `/metrics`.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    health: Probe
    http: str
    grpc: str = ""
    metrics: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    read: tuple[PurePosixPath, ...] = ()
    """Directories of this machine that the replica reads beside the environments, the store and the model."""
    guard: Guard = Guard.NONE
    shared_memory: str = ""
    """Begins the names of the replica's POSIX shared memory, which outlives a killed process; empty for none."""


class Runtime(Protocol):
    """One serving runtime."""

    name: str
    protocol: WireProtocol
    formats: frozenset[str]
    """Formats that it serves by default where its parts for them are installed; `serves` says whether they are."""
    runs_commands: bool
    """Whether it runs a command of the user's: that is code, and needs no signature of the model."""
    uses_ports: bool
    """Whether it listens on ports wherever it runs: it may not know Unix sockets."""

    def serves(self, format_: str) -> bool:
        """Report whether its parts for a format are installed here."""

    def check(self, model: Model) -> None:
        """Raise `InvalidError`, which names the tensor, file or format at fault, if the model can never be served."""

    def environments(self, model: Model) -> tuple[str, ...]:
        """Return the names of the environments (see `klever.environments`) that a launch of the model needs."""

    def launch(self, model: Model, at: Placement) -> Launch:
        """Return what to write and run. Pure: equal arguments give equal results."""

    def example(self, model: Model) -> bytes:
        """Return a request body as JSON that the served model accepts: zeros of the signature's shapes."""


def unix_path(address: str) -> str:
    """Return the path of a `unix:PATH` address, empty for `HOST:PORT`."""
    scheme, _, path = address.partition(":")
    return path if scheme == "unix" else ""
