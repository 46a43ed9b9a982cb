"""NVIDIA Triton Inference Server: the one of the environment `triton`, or one that is installed here.

The environment's server has the Python backend only, so ONNX runs in it through `files/model.py`. An installed server
runs what its own backends can.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import PurePosixPath
from typing import Final

from klever.errors import InvalidError
from klever.formats import Signature
from klever.formats.bounds import check_bounds
from klever.limits import DEFAULTS, Limits
from klever.runtimes import Launch, Model, Placement, Probe, openinference
from klever.runtimes.openinference import datatype
from klever.runtimes.protocols import OPEN_INFERENCE
from klever.runtimes.triton.config import check_signature, model_config
from klever.runtimes.triton.installed import InstalledTriton
from klever.runtimes.triton.layouts import LAYOUTS, Layout
from klever.runtimes.triton.versions import ENVIRONMENT_VERSION, guard_of

__all__ = ["TritonRuntime"]

_VERSION: Final = "1"
_LINK: Final = "model/model.onnx"
"""Below the store: where files/model.py finds the model, in a directory that Python imports nothing from."""
_EXIT_S: Final = 5
"""How long a stopping server waits for requests under way, and for idle connections that their clients keep open."""
_RESTRICTED: Final = "model-repository,shared-memory,trace,logging"
_OWN_ERRORS: Final = (b"ONNX Runtime: ", b"onnx runtime error")
"""What begins an error of the model itself, in files/model.py and in Triton's own ONNX Runtime backend."""


class TritonRuntime:
    """Serves one model per server, under the Serving's name.

    `installed` is a tritonserver found on this machine, None for the environment's. `key` is what Triton's control,
    shared memory, trace and log interfaces ask for; nothing of Klever uses it. `limits` bounds the signature, which the
    pusher of the model wrote.
    """

    name = "triton"
    protocol = OPEN_INFERENCE
    formats = frozenset(LAYOUTS)
    runs_commands = False
    uses_ports = False

    def __init__(self, installed: InstalledTriton | None = None, *, key: str = "", limits: Limits = DEFAULTS) -> None:
        self._installed = installed
        self._limits = limits
        self._key = key
        self.environment = "" if installed else "triton"

    def check(self, model: Model) -> None:
        """Raise `InvalidError` if the model can never be served here."""
        layout = LAYOUTS.get(model.format)
        if layout is None:
            raise InvalidError(f"Triton does not serve {model.format or 'a model without a format'}: {self._offer()}")
        if not self._runs(layout):
            raise InvalidError(f"{model.format} needs Triton's {layout.backend} backend: {self._offer()}")
        signature = _signature(model)
        check_bounds(signature, self._limits)
        check_signature(signature)
        for tensor in (*signature.inputs, *signature.outputs):
            if self._installed is None and datatype(tensor) == "BF16":
                raise InvalidError(f"tensor {tensor.name!r} is bfloat16, which needs Triton's own onnxruntime backend")
            if self._installed and tensor.size == ():
                raise InvalidError(f"tensor {tensor.name!r} is a scalar, which Triton's own backends do not take")
        layout.find(model.files)

    def launch(self, model: Model, at: Placement) -> Launch:
        """Lay out a repository of the one model in `STORE/models`, and start a server of its own on it."""
        self.check(model)
        layout, version = LAYOUTS[model.format], f"models/{model.name}/{_VERSION}"
        files = {f"models/{model.name}/config.pbtxt": self.config(model, max(1, at.threads)).encode()}
        if self._installed is None:
            files |= {f"{version}/model.py": _file("model.py"), "launch.py": _file("launch.py")}
            links = {_LINK: layout.find(model.files)[layout.main]}
        else:
            links = {f"{version}/{path}": target for path, target in layout.links(model.files).items()}
        http, grpc, metrics = _addresses(at)
        shared_memory = f"klever-{hashlib.sha256(str(at.store).encode()).hexdigest()[:16]}-"
        return Launch(
            argv=(*self._program(at), *self._flags(at, shared_memory)),
            env=_environment(model, at),
            health=self.probe(model),
            http=http,
            grpc=grpc,
            metrics=metrics,
            files=files,
            links=links,
            read=(PurePosixPath(self._installed.root),) if self._installed else (),
            guard=guard_of(self._installed.version if self._installed else ENVIRONMENT_VERSION),
            shared_memory=shared_memory,
        )

    def config(self, model: Model, threads: int = 1) -> str:
        """The config.pbtxt of a model that `check` passed."""
        layout, signature = LAYOUTS[model.format], _signature(model)
        parameters = {"intra_op_thread_count": str(threads)} if layout.backend == "onnxruntime" else {}
        if self._installed is None:
            return model_config(model.name, signature, backend="python", parameters=parameters)
        return model_config(
            model.name,
            signature,
            platform=layout.platform,
            file=layout.file(model.files),
            parameters=parameters,
        )

    def probe(self, model: Model) -> Probe:
        """Return an inference of zeros. A model that refuses them has answered: it runs."""
        return openinference.probe(model.name, _signature(model), _OWN_ERRORS)

    def example(self, model: Model) -> bytes:
        return openinference.example(_signature(model).inputs, self._limits)

    def _runs(self, layout: Layout) -> bool:
        if self._installed is None:
            return layout.backend == "onnxruntime"
        return layout.backend in self._installed.backends

    def _offer(self) -> str:
        where = f"the tritonserver in {self._installed.root}" if self._installed else "the environment's tritonserver"
        served = sorted(name for name, layout in LAYOUTS.items() if self._runs(layout))
        return f"{where} serves {', '.join(served) or 'nothing'}"

    def _program(self, at: Placement) -> tuple[str, ...]:
        if self._installed:
            root = self._installed.root
            return (f"{root}/bin/tritonserver", f"--backend-directory={root}/backends")
        return (f"{at.environment}/bin/python3", "-I", f"{at.store}/launch.py", f"{at.work}/backends")

    def _flags(self, at: Placement, shared_memory: str) -> tuple[str, ...]:
        # A key of each server's own, which nobody keeps: what it guards is never to be used.
        restriction = f"{_RESTRICTED}:klever-key={self._key or secrets.token_hex(16)}"
        return (
            f"--model-repository={at.store}/models",
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            "--model-load-thread-count=1",
            *_listeners(at),
            # Each thread is a connection's loop; more than the cores that infer only add memory and switches.
            f"--http-thread-count={max(1, at.threads) + 1}",
            f"--http-restricted-api={restriction}",
            f"--grpc-restricted-protocol={restriction}",
            "--allow-gpu-metrics=false",
            "--allow-cpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            f"--backend-config=python,shm-region-prefix-name={shared_memory}",
            f"--exit-timeout-secs={_EXIT_S}",
            "--log-format=ISO8601",
            # Tables of settings: they would push the reason of a failure out of the last lines.
            "--log-info=false",
        )


def _signature(model: Model) -> Signature:
    if model.signature is None:
        raise InvalidError(f"the model has no signature: Triton needs the inputs and outputs of {model.format}")
    return model.signature


def _addresses(at: Placement) -> tuple[str, str, str]:
    """Return where the server listens: HTTP, gRPC, metrics."""
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
        **at.env,
        "MODEL_STORE": f"{at.store}/models",
        "SERVING_NAME": model.name,
        # Bytecode beside model.py would look like a changed model.
        "PYTHONDONTWRITEBYTECODE": "1",
        # The sandbox has no network to send telemetry to; nothing shall be prepared for it either.
        "ORT_DISABLE_TELEMETRY": "1",
        # One arena per core and thread is most of a small server's memory.
        "MALLOC_ARENA_MAX": "2",
    }


def _file(name: str) -> bytes:
    return resources.files("klever.runtimes.triton").joinpath("files", name).read_bytes()
