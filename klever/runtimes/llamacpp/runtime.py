"""llama.cpp with its HTTP server, from the environment `llamacpp`: one language model per process.

Variables of the predictor: `CONTEXT_LENGTH` is the largest number of tokens of a request and its response together,
`PARALLEL` the number of requests that are computed at a time, while others wait. Source of the API: llama.cpp's
tools/server/README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePosixPath
from typing import Final

from klever.errors import InvalidError
from klever.runtimes import Launch, Model, Placement, Probe
from klever.runtimes.protocols import OPENAI

__all__ = ["LlamaCppRuntime"]

_ENVIRONMENT: Final = "llamacpp"
_CONTEXT_LENGTH: Final = 8192
"""The default context length in tokens, if the model has a longer one, which could take all memory."""
_PARALLEL: Final = 4
_VARIABLES: Final = {"CONTEXT_LENGTH": _CONTEXT_LENGTH, "PARALLEL": _PARALLEL}
_SHARD: Final = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")
"""Source: llama.cpp's `llama_split_path`."""


class LlamaCppRuntime:
    """Serves a GGUF model under the Serving's name."""

    name = "llamacpp"
    protocol = OPENAI
    formats = frozenset({"GGUF"})
    tunable = False
    runs_commands = False
    uses_ports = False

    def serves(self, format_: str) -> bool:
        """Return whether it serves a format. Its parts are in an environment."""
        return format_ in self.formats

    def check(self, model: Model) -> None:
        """Raise `InvalidError` unless there is exactly one GGUF model."""
        if model.format not in self.formats:
            raise InvalidError(f"llama.cpp serves GGUF, not {model.format or 'a model without a format'}")
        _weights(model.files)

    def environments(self, model: Model) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return (_ENVIRONMENT,)

    def launch(self, model: Model, at: Placement) -> Launch:
        """Start a server with the model's first file. llama.cpp finds the other shards next to it."""
        self.check(model)
        http, metrics = _addresses(at)
        settings = {
            "model": f"{at.store}/model/{_weights(model.files)}",
            "name": model.name,
            "http": http,
            "metrics": metrics,
            "threads": at.threads,
            "context_length": _number("CONTEXT_LENGTH", at.env),
            "parallel": _number("PARALLEL", at.env),
        }
        python = f"{at.environments[_ENVIRONMENT]}/bin/python3"
        return Launch(
            argv=(python, "-I", f"{at.store}/launch.py", f"{at.store}/launch.json"),
            env={"NVIDIA_VISIBLE_DEVICES": "", **at.env, "MODEL_STORE": str(at.store), "SERVING_NAME": model.name},
            # The loop that computes tokens answers this request: also a busy loop, but not a stuck one.
            health=Probe("/metrics", address=metrics),
            http=http,
            metrics=metrics,
            files={"launch.py": _source("launch.py"), "launch.json": json.dumps(settings, indent=1).encode()},
            links={"model": ""},
        )


def _weights(files: tuple[str, ...]) -> str:
    """Return the file that llama.cpp opens: the only one, or the first shard. Raises `InvalidError`."""
    found = [file for file in files if PurePosixPath(file).suffix == ".gguf" and "/" not in file]
    first = [file for file in found if (shard := _SHARD.search(file)) is None or int(shard[1]) == 1]
    if len(first) != 1:
        raise InvalidError(f"a GGUF model is one .gguf file or its shards, not {', '.join(found) or 'nothing'}")
    return first[0]


def _addresses(at: Placement) -> tuple[str, str]:
    """Return the server's addresses: HTTP, metrics."""
    if at.sockets is None:
        return (f"{at.host}:{at.http_port}", f"{at.host}:{at.metrics_port}")
    return (f"unix:{at.sockets}/http.sock", f"unix:{at.sockets}/metrics.sock")


def _number(name: str, env: Mapping[str, str]) -> int:
    text = env.get(name, str(_VARIABLES[name]))
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise InvalidError(f"the variable {name} must be a positive number, not {text!r}")
    return int(text)


def _source(name: str) -> bytes:
    return resources.files("klever.runtimes.llamacpp").joinpath("files", name).read_bytes()
