"""The runtime toy: a small server of the Open Inference Protocol for Toy models."""

from __future__ import annotations

from pathlib import Path

from klever.errors import InvalidError
from klever.limits import DEFAULTS
from klever.runtimes import Launch, Model, Placement, Probe, openinference
from klever.runtimes.protocols import OPEN_INFERENCE

__all__ = ["ToyRuntime"]

_ENVIRONMENT = "toy"
_PROGRAM = Path(__file__).parent / "programs" / "serve.py"


class ToyRuntime:
    """Describes the server; `programs/serve.py` is it."""

    name = "toy"
    protocol = OPEN_INFERENCE
    formats = frozenset({"Toy"})
    runs_commands = False
    tunable = False
    uses_ports = False

    def serves(self, format_: str) -> bool:
        """Report whether it serves a format."""
        return format_ in self.formats

    def check(self, model: Model) -> None:
        """Raise `InvalidError` for a model that is not a Toy model with a signature."""
        if model.format not in self.formats or model.signature is None:
            raise InvalidError(f"the runtime toy needs a Toy model with a signature, not {model.format or 'no format'}")

    def environments(self, model: Model) -> tuple[str, ...]:
        return (_ENVIRONMENT,)

    def launch(self, model: Model, at: Placement) -> Launch:
        self.check(model)
        python = f"{at.environments[_ENVIRONMENT]}/bin/python3"
        address = f"unix:{at.sockets}/http.sock" if at.sockets else f"{at.host}:{at.http_port}"
        path = openinference.infer_path(model.name)
        example = openinference.example(model.signature.inputs if model.signature else (), DEFAULTS)
        return Launch(
            argv=(python, "-I", f"{at.store}/serve.py", model.name, f"{at.store}/model.toy", address),
            env=at.env,
            health=Probe(path, "POST", example, {"Content-Type": "application/json"}),
            http=address,
            files={"serve.py": _PROGRAM.read_bytes()},
            links={"model.toy": next(file for file in model.files if file.endswith(".toy"))},
        )
