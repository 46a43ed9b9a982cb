"""NVIDIA Triton Inference Server: the one of the environment `triton`, or one installed on this machine.

An installed server runs the formats of its own backends. The environment's server has the Python backend only, which
runs the programs of `programs.py`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Final

from klever.errors import InvalidError
from klever.formats import Signature
from klever.formats.bounds import check_bounds
from klever.limits import DEFAULTS, Limits
from klever.runtimes import Launch, Model, Placement, Probe, openinference
from klever.runtimes.protocols import OPEN_INFERENCE
from klever.runtimes.triton.config import check_signature
from klever.runtimes.triton.installed import InstalledTriton
from klever.runtimes.triton.platforms import PLATFORMS
from klever.runtimes.triton.programs import PROGRAMS
from klever.runtimes.triton.servers import EnvironmentServer, InstalledServer, Server
from klever.runtimes.triton.versions import required_guard
from klever.runtimes.tuning import DEFAULT, Tuning

__all__ = ["TritonRuntime"]

_EXIT_S: Final = 5
"""How many seconds a stopping server waits for requests in progress, and for idle connections of clients."""
_LOAD_S: Final = 240
"""How many seconds a program of the Python backend may take to load its model."""
_RESTRICTED: Final = "model-repository,shared-memory,trace,logging"
_OWN_ERRORS: Final = (b"model error: ", b"onnx runtime error")
"""The prefixes of errors of the model itself, in `files/` and in Triton's own ONNX Runtime backend."""


class TritonRuntime:
    """Serves one model per server, under the Serving's name.

    `installed` is a tritonserver found on this machine. The environment's server runs the formats for which that one
    has no backend. `key` protects Triton's control, shared memory, trace and log interfaces, which Klever does not use.
    `limits` bounds the signature, which the author of a push controls.
    """

    name = "triton"
    protocol = OPEN_INFERENCE
    formats = frozenset({*PLATFORMS, *PROGRAMS})
    tunable = True
    runs_commands = False
    uses_ports = False

    def __init__(self, installed: InstalledTriton | None = None, *, key: str = "", limits: Limits = DEFAULTS) -> None:
        self._servers: tuple[Server, ...] = (*([InstalledServer(installed)] if installed else []), EnvironmentServer())
        self._limits = limits
        self._key = key

    def serves(self, format_: str) -> bool:
        """Return whether a server for the format is installed."""
        return any(server.runs(format_) for server in self._servers)

    def check(self, model: Model) -> None:
        """Raise `InvalidError` if the model can never be served here."""
        server, signature = self._server(model.format), _signature(model)
        check_bounds(signature, self._limits)
        check_signature(signature, any_rank=server.gives_any_rank(model.format))
        server.check(model.format, signature)
        server.model_files(model.format).find(model.files)

    def environments(self, model: Model) -> tuple[str, ...]:
        return self._server(model.format).environments(model.format)

    def launch(self, model: Model, at: Placement) -> Launch:
        """Create a repository of the model in `STORE/models`, and start a server for it."""
        self.check(model)
        server = self._server(model.format)
        config = self.config(model, max(1, at.threads), at.tuning).encode()
        http, grpc, metrics = _addresses(at)
        shared_memory = f"klever-{hashlib.sha256(str(at.store).encode()).hexdigest()[:16]}-"
        return Launch(
            argv=(*server.argv(model.format, at), *self._flags(at, shared_memory)),
            env=_environment(model, at),
            health=self.probe(model),
            http=http,
            grpc=grpc,
            metrics=metrics,
            files={f"models/{model.name}/config.pbtxt": config, **server.files(model)},
            links=server.links(model),
            read=server.read,
            guard=required_guard(server.version),
            shared_memory=shared_memory,
        )

    def config(self, model: Model, threads: int = 1, tuning: Tuning = DEFAULT) -> str:
        """Return the config.pbtxt of a model that passed `check`."""
        return self._server(model.format).config(model, _signature(model), threads, tuning)

    def probe(self, model: Model) -> Probe:
        """Return an inference of zeros. A model that rejects them still runs."""
        return openinference.probe(model.name, _signature(model), _OWN_ERRORS)

    def _server(self, format_: str) -> Server:
        """Return the first server that runs the format. Raises `InvalidError` that names what is missing."""
        for server in self._servers:
            if server.runs(format_):
                return server
        served = ", ".join(sorted(name for name in self.formats if self.serves(name)))
        if format_ not in PLATFORMS:
            raise InvalidError(f"Triton does not serve {format_ or 'a model without a format'}: it serves {served}")
        platform = PLATFORMS[format_]
        gpu = "a GPU and " if platform.needs_gpu else ""
        raise InvalidError(
            f"{format_} needs {gpu}a Triton in /opt/tritonserver with the {platform.backend} backend, "
            f"and this machine has none: without it, Triton serves {served}"
        )

    def _flags(self, at: Placement, shared_memory: str) -> tuple[str, ...]:
        # Each server has a random key that is not stored: the interfaces that it protects are never used.
        restriction = f"{_RESTRICTED}:klever-key={self._key or secrets.token_hex(16)}"
        return (
            f"--model-repository={at.store}/models",
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            "--model-load-thread-count=1",
            *_listeners(at),
            # Each thread serves connections; more than the cores would only add memory and context switches.
            f"--http-thread-count={max(1, at.threads) + 1}",
            f"--http-restricted-api={restriction}",
            f"--grpc-restricted-protocol={restriction}",
            "--allow-gpu-metrics=false",
            "--allow-cpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            f"--backend-config=python,shm-region-prefix-name={shared_memory}",
            # The import of a large framework on a busy machine takes longer than the backend's 30 s.
            f"--backend-config=python,stub-timeout-seconds={_LOAD_S}",
            f"--exit-timeout-secs={_EXIT_S}",
            "--log-format=ISO8601",
            # These tables of settings would displace the reason of a failure from the last lines.
            "--log-info=false",
        )


def _signature(model: Model) -> Signature:
    if model.signature is None:
        raise InvalidError(f"the model has no signature: Triton needs the inputs and outputs of {model.format}")
    return model.signature


def _addresses(at: Placement) -> tuple[str, str, str]:
    """Return the server's addresses: HTTP, gRPC, metrics."""
    if at.sockets is None:
        return (f"{at.host}:{at.http_port}", f"{at.host}:{at.grpc_port}", f"{at.host}:{at.metrics_port}")
    # Triton appends the port to the path of gRPC's socket.
    return (f"unix:{at.sockets}/http.sock", f"unix:{at.sockets}/grpc.sock:1", f"unix:{at.sockets}/metrics.sock")


def _listeners(at: Placement) -> Iterator[str]:
    for name, port in (("http", at.http_port), ("grpc", at.grpc_port), ("metrics", at.metrics_port)):
        address = at.host if at.sockets is None else f"unix:{at.sockets}/{name}.sock"
        yield from (f"--{name}-address={address}", f"--{name}-port={port if at.sockets is None else 1}")


def _environment(model: Model, at: Placement) -> Mapping[str, str]:
    return {
        "NVIDIA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": str(max(1, at.threads)),
        # The sandbox's user has no home, but some frameworks look for it when they are imported.
        "HOME": str(at.work),
        **at.env,
        "MODEL_STORE": f"{at.store}/models",
        "SERVING_NAME": model.name,
        # Bytecode next to model.py would look like a changed model.
        "PYTHONDONTWRITEBYTECODE": "1",
        # The sandbox has no network for telemetry, so nothing needs to prepare it.
        "ORT_DISABLE_TELEMETRY": "1",
        # One arena per core and thread is most of a small server's memory.
        "MALLOC_ARENA_MAX": "2",
    }
