"""A user's own command as a runtime.

It gets its model through the variables of the Serving container contract (MODEL_STORE, SERVING_NAME; the model's files
are in `$MODEL_STORE/$SERVING_NAME`), and its addresses through HOST, PORT, HTTP_PORT, GRPC_PORT and METRICS_PORT. As in
Kubernetes' container commands (Container v1 core, `command`), the variable replaces `$(NAME)` in an argument, and `$$`
stands for `$`.
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
    """Runs `Placement.command`. It is healthy if `Placement.probe_path` succeeds, or by default if its port is open."""

    name = "custom"
    protocol = ANY
    formats: frozenset[str] = frozenset()
    tunable = False
    runs_commands = True
    uses_ports = True

    def serves(self, format_: str) -> bool:
        """Return False: it serves no format without a command."""
        return format_ in self.formats

    def check(self, model: Model) -> None:
        """Accept any model, because only the command knows the formats that it serves."""

    def environments(self, model: Model) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        """Return none, because the command has all that it needs."""
        return ()

    def launch(self, model: Model, at: Placement) -> Launch:
        """Run the command. Raises `InvalidError` if there is none."""
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


def _expanded(argument: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)`, except undefined names."""

    def value(match: re.Match[str]) -> str:
        return env.get(match[1], match[0]) if match[1] else "$"

    return _REFERENCE.sub(value, argument)
