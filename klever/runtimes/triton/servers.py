"""The two Triton servers: one installed on this machine, and that of the environment `triton`.

An installed server runs the formats of its own backends. The environment's server has the Python backend only, which
runs the programs of `klever.runtimes.triton.programs`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final, Protocol

from klever.errors import InvalidError
from klever.formats import Signature
from klever.runtimes import Model, Placement
from klever.runtimes.openinference import datatype
from klever.runtimes.triton.config import model_config
from klever.runtimes.triton.installed import InstalledTriton
from klever.runtimes.triton.modelfiles import ModelFiles
from klever.runtimes.triton.platforms import PLATFORMS
from klever.runtimes.triton.programs import PROGRAMS, source
from klever.runtimes.triton.versions import ENVIRONMENT_VERSION
from klever.runtimes.tuning import Tuning

__all__ = ["EnvironmentServer", "InstalledServer", "Server"]

_VERSION: Final = "1"
_ENVIRONMENT: Final = "triton"
_MODEL: Final = "model"
"""The directory of the model's files below the store. Python imports nothing from it."""


class Server(Protocol):
    """A tritonserver. Methods with a format or a model need one that it runs."""

    @property
    def version(self) -> str: ...

    @property
    def read(self) -> tuple[PurePosixPath, ...]:
        """The directories of this machine that it reads."""

    def runs(self, format_: str) -> bool: ...

    def gives_any_rank(self, format_: str) -> bool:
        """Return whether it serves outputs of unknown rank."""

    def check(self, format_: str, signature: Signature) -> None:
        """Raise `InvalidError` that names a tensor or a layer that it does not support."""

    def environments(self, format_: str) -> tuple[str, ...]:
        """Return the environments that it needs, its own first."""

    def argv(self, format_: str, at: Placement) -> tuple[str, ...]:
        """Return the program and the arguments that come before the flags of every tritonserver."""

    def model_files(self, format_: str) -> ModelFiles: ...

    def config(self, model: Model, signature: Signature, threads: int, tuning: Tuning) -> str:
        """Return the config.pbtxt. Raises `InvalidError` for tuning that the model does not allow."""

    def files(self, model: Model) -> dict[str, bytes]:
        """Return the files below the store, except config.pbtxt."""

    def links(self, model: Model) -> dict[str, str]:
        """Return links from paths below the store to paths below the model directory."""


class InstalledServer:
    def __init__(self, installed: InstalledTriton) -> None:
        self._root = installed.root
        self._backends = installed.backends
        self.version = installed.version
        self.read = (PurePosixPath(installed.root),)

    def runs(self, format_: str) -> bool:
        return format_ in PLATFORMS and PLATFORMS[format_].backend in self._backends

    def gives_any_rank(self, format_: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return False

    def check(self, format_: str, signature: Signature) -> None:  # noqa: ARG002 - the protocol's signature
        for tensor in (*signature.inputs, *signature.outputs):
            if tensor.size == ():
                raise InvalidError(f"tensor {tensor.name!r} is a scalar, which Triton's own backends do not support")

    def environments(self, format_: str) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return ()

    def argv(self, format_: str, at: Placement) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return (f"{self._root}/bin/tritonserver", f"--backend-directory={self._root}/backends")

    def model_files(self, format_: str) -> ModelFiles:
        return PLATFORMS[format_].files

    def config(self, model: Model, signature: Signature, threads: int, tuning: Tuning) -> str:
        platform = PLATFORMS[model.format]
        return model_config(
            model.name,
            signature,
            platform=platform.name,
            file=platform.files.main(model.files),
            parameters=_parameters(threads) if platform.backend == "onnxruntime" else {},
            tuning=tuning,
            batches=True,
        )

    def files(self, model: Model) -> dict[str, bytes]:  # noqa: ARG002 - the protocol's signature
        return {}

    def links(self, model: Model) -> dict[str, str]:
        links = PLATFORMS[model.format].files.links(model.files)
        return {f"{_version(model)}/{path}": target for path, target in links.items()}


class EnvironmentServer:
    version: Final = ENVIRONMENT_VERSION
    read: Final[tuple[PurePosixPath, ...]] = ()

    def runs(self, format_: str) -> bool:
        return format_ in PROGRAMS

    def gives_any_rank(self, format_: str) -> bool:
        return PROGRAMS[format_].any_rank

    def check(self, format_: str, signature: Signature) -> None:
        for tensor in (*signature.inputs, *signature.outputs):
            if datatype(tensor) == "BF16":
                raise InvalidError(
                    f"tensor {tensor.name!r} is bfloat16, which Triton's Python backend does not support"
                )
        layers = PROGRAMS[format_].layers
        for layer in signature.layers if layers else ():
            if layer not in layers:
                raise InvalidError(
                    f"{format_} with {layer} cannot be served (docs/serving.md lists what can be): "
                    "give the predictor a command that serves it"
                )

    def environments(self, format_: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys((_ENVIRONMENT, PROGRAMS[format_].environment)))

    def argv(self, format_: str, at: Placement) -> tuple[str, ...]:
        server, programs = at.environments[_ENVIRONMENT], at.environments[PROGRAMS[format_].environment]
        return (f"{server}/bin/python3", "-I", f"{at.store}/launch.py", f"{at.work}/backends", str(programs))

    def model_files(self, format_: str) -> ModelFiles:
        return PROGRAMS[format_].files

    def config(self, model: Model, signature: Signature, threads: int, tuning: Tuning) -> str:
        parameters = _parameters(threads) | ({"code": "allowed"} if model.code else {})
        if tuning.batch_rows:  # files/batches.py batches, because the model gets requests with their own shapes
            parameters |= {"batch_rows": str(tuning.batch_rows), "queue_delay_us": str(tuning.queue_delay_us)}
        return model_config(model.name, signature, backend="python", parameters=parameters, tuning=tuning)

    def files(self, model: Model) -> dict[str, bytes]:
        sources = PROGRAMS[model.format].sources()
        return {
            "launch.py": source("launch.py"),
            **{f"{_version(model)}/{name}": content for name, content in sources.items()},
        }

    def links(self, model: Model) -> dict[str, str]:
        links = PROGRAMS[model.format].files.links(model.files)
        return {f"{_MODEL}/{path}": target for path, target in links.items()}


def _version(model: Model) -> str:
    return f"models/{model.name}/{_VERSION}"


def _parameters(threads: int) -> dict[str, str]:
    return {"intra_op_thread_count": str(threads)}
