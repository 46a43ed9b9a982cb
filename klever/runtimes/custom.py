"""A user's own command as a runtime.

It is told where to listen and where its model is by the variables of the Serving container contract (MODEL_STORE,
SERVING_NAME; the model's files are in `$MODEL_STORE/$SERVING_NAME`) and by HOST, PORT, HTTP_PORT, GRPC_PORT and
METRICS_PORT. `$(NAME)` in an argument is replaced by the variable and `$$` stands for `$`, as in Kubernetes'
container commands (reference: Container v1 core, `command`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from klever.errors import InvalidError
from klever.runtimes import Launch, Model, Placement, Probe
from klever.runtimes.protocols import ANY

__all__ = ["CustomRuntime"]

_REFERENCE: Final = re.compile(r"\$(?:\$|\((\w+)\))")


class CustomRuntime:
    """Runs `Placement.command` as it is and believes `Placement.probe_path`; without one, an open port is health."""

    name = "custom"
    protocol = ANY
    formats: frozenset[str] = frozenset()
    runs_commands = True
    uses_ports = True

    def serves(self, format_: str) -> bool:
        """Report whether it serves a format: without a command none."""
        return format_ in self.formats

    def check(self, model: Model) -> None:
        """Any model will do: only the command knows what it serves."""

    def environments(self, model: Model) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        """None: the command brings what it needs."""
        return ()

    def launch(self, model: Model, at: Placement) -> Launch:
        """Run the command; raises `InvalidError` if there is none."""
        if not at.command:
            raise InvalidError("the runtime custom needs a command")
        env = {
            "NVIDIA_VISIBLE_DEVICES": "",
            **at.env,
            "MODEL_STORE": str(at.store),
            "SERVING_NAME": model.name,
            "HOST": at.host,
            "PORT": str(at.http_port),
            "HTTP_PORT": str(at.http_port),
            "GRPC_PORT": str(at.grpc_port),
            "METRICS_PORT": str(at.metrics_port),
        }
        return Launch(
            argv=tuple(_expanded(argument, env) for argument in at.command),
            env=env,
            health=Probe(at.probe_path),
            http=f"{at.host}:{at.http_port}",
            links={model.name: ""} if model.files else {},
        )

    def example(self, model: Model) -> bytes:
        """Raise `InvalidError`: no request suits every command."""
        raise InvalidError(f"{model.name} is a command: it has no example")


def _expanded(argument: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)`. An undefined name stays."""

    def value(match: re.Match[str]) -> str:
        return env.get(match[1], match[0]) if match[1] else "$"

    return _REFERENCE.sub(value, argument)
