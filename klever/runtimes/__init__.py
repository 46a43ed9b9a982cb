"""Serving runtimes, which turn a model and a predictor into files and a process. Pure.

A runtime is a module or package of this folder with a row in `klever.runtimes.table`. It describes the files and the
process. A backend writes and runs them, as local processes or containers. Forbidden here: model frameworks, except in
the files that a runtime ships into its environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from klever.formats import Signature
from klever.runtimes.protocols import WireProtocol
from klever.runtimes.tuning import Tuning

__all__ = ["Guard", "Launch", "Model", "Placement", "Probe", "Runtime", "unix_path"]


class Guard(StrEnum):
    """The check that a router makes before a request reaches a replica, because the server would crash without it."""

    NONE = ""
    TRITON = "triton"
    """Reject requests of the Open Inference Protocol that crash a Triton server."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a predictor, from its metadata.

    `name` is its served name (that of the Serving), `format` as in `klever.formats`, `files` the regular files below
    the model directory (sorted, relative), `signature` None if the version has none. `code` says that it executes its
    author's code, and is allowed to.
    """

    name: str
    format: str
    files: tuple[str, ...]
    signature: Signature | None
    code: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """The addresses and directories that a backend chose for a replica.

    `store` is MODEL_STORE, with `Launch.files` and `Launch.links` (read-only). `work` is the directory in which the
    replica writes, `model` the unpacked model directory (read-only, shared), `environments` the directories of
    `Runtime.environments`, by name. The replica listens on Unix sockets in `sockets`, or on the ports of `host` if that
    is None or the runtime has `uses_ports`.
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
    """The CPU cores that the predictor requests, rounded up; 0 if it requests none."""
    tuning: Tuning = field(default_factory=Tuning)


@dataclass(frozen=True, slots=True)
class Probe:
    """An HTTP request that a healthy replica answers with 2xx. With an empty path, accepting connections is enough.

    A probe is an inference, because a runtime whose model died may still report that it is ready. A response of another
    status that contains one of `own_errors` is healthy: the model itself rejected these values, so it runs. The
    request's body is `body`, then `zeros` zero bytes, which are never all in memory. Its target is `address`, or
    `Launch.http` if that is empty.
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
    """The files and the process of one replica.

    `files` are contents by path below `Placement.store`. `links` point from a path below the store to a path below
    `Placement.model` ("" for the directory itself). `http`, `grpc` and `metrics` are addresses, `HOST:PORT` or
    `unix:PATH`; `grpc` and `metrics` are empty if the replica does not have them. Metrics are at `/metrics`.
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
    """Further directories of this machine that the replica reads, besides the environments, the store and the model."""
    guard: Guard = Guard.NONE
    shared_memory: str = ""
    """The prefix of the replica's POSIX shared memory, which outlives a killed process; empty for none."""


class Runtime(Protocol):
    """One serving runtime."""

    name: str
    protocol: WireProtocol
    formats: frozenset[str]
    """The formats that it serves by default, if its parts for them are installed (see `serves`)."""
    runs_commands: bool
    """Whether it runs a user's command, which is code and needs no signature of the model."""
    tunable: bool
    """Whether it supports `Placement.tuning`."""
    uses_ports: bool
    """Whether it always listens on ports, because it may not support Unix sockets."""

    def serves(self, format_: str) -> bool:
        """Return whether its parts for a format are installed."""

    def check(self, model: Model) -> None:
        """Raise `InvalidError` that names the faulty tensor, file or format if the model can never be served."""

    def environments(self, model: Model) -> tuple[str, ...]:
        """Return the names of the environments (see `klever.environments`) that a launch of the model needs."""

    def launch(self, model: Model, at: Placement) -> Launch:
        """Return the files and the process. Pure: equal arguments give equal results."""


def unix_path(address: str) -> str:
    """Return the path of a `unix:PATH` address; empty for `HOST:PORT`."""
    scheme, _, path = address.partition(":")
    return path if scheme == "unix" else ""
