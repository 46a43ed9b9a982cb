"""A server with OpenScoring's REST API on pypmml, from the environment `pmml`, or the operator's own OpenScoring.

With the variable `OPENSCORING_DEPLOY=true` of a predictor, callers may add models, which exist only in the memory of
the replica.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import PurePosixPath
from typing import Final

from klever.errors import InvalidError
from klever.limits import DEFAULTS, Limits
from klever.runtimes import Launch, Model, Placement, Probe
from klever.runtimes.openscoring.jar import JAVA_SETTINGS, OpenScoringJar
from klever.runtimes.protocols import OPENSCORING

__all__ = ["OpenScoringRuntime"]

_ENVIRONMENT: Final = "pmml"
_SOURCES: Final = ("launch.py", "bounds.py", "handler.py", "inference.py", "tensors.py", "calls.py", "models.py")
_LIMITS: Final = ("scored_records", "scored_values", "request_depth", "uploaded_models", "uploaded_bytes")


class OpenScoringRuntime:
    """Serves a PMML model under the Serving's name."""

    name = "openscoring"
    protocol = OPENSCORING
    formats = frozenset({"PMML"})
    tunable = False
    runs_commands = False

    def __init__(self, jar: OpenScoringJar | None = None, *, limits: Limits = DEFAULTS) -> None:
        self._jar = jar
        self._limits = {name: getattr(limits, name) for name in _LIMITS}
        self.uses_ports = jar is not None

    def serves(self, format_: str) -> bool:
        """Return whether it serves a format. Its parts are in an environment."""
        return format_ in self.formats

    def check(self, model: Model) -> None:
        """Raise `InvalidError` unless there is exactly one PMML document."""
        if model.format not in self.formats:
            raise InvalidError(f"OpenScoring serves PMML, not {model.format or 'a model without a format'}")
        _document(model.files)

    def environments(self, model: Model) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return () if self._jar else (_ENVIRONMENT,)

    def launch(self, model: Model, at: Placement) -> Launch:
        """Start a server with the model."""
        self.check(model)
        deploy = at.env.get("OPENSCORING_DEPLOY") == "true"
        if self._jar:
            return self._jar.launch(model, at, _document(model.files), deploy=deploy)
        http, grpc = _addresses(at)
        settings = {
            "http": http,
            "grpc": grpc,
            "name": model.name,
            "model": f"{at.store}/model/model.pmml",
            "deploy": deploy,
            "limits": self._limits,
        }
        env = {**at.env, "MODEL_STORE": str(at.store), "SERVING_NAME": model.name, "HOME": str(at.work)}
        return Launch(
            argv=(
                f"{at.environments[_ENVIRONMENT]}/bin/python3",
                *("-I", f"{at.store}/server/launch.py", f"{at.store}/launch.json"),
            ),
            env=env,
            health=Probe(f"/openscoring/model/{model.name}"),
            http=http,
            grpc=grpc,
            files={
                "launch.json": json.dumps(settings, indent=1).encode(),
                **{f"server/{name}": _source(name) for name in _SOURCES},
            },
            links={"model/model.pmml": _document(model.files)},
            read=(JAVA_SETTINGS,),
        )


def _addresses(at: Placement) -> tuple[str, str]:
    """Return the server's addresses: HTTP, gRPC."""
    if at.sockets is None:
        return (f"{at.host}:{at.http_port}", f"{at.host}:{at.grpc_port}")
    return (f"unix:{at.sockets}/http.sock", f"unix:{at.sockets}/grpc.sock")


def _document(files: tuple[str, ...]) -> str:
    found = [file for file in files if PurePosixPath(file).suffix == ".pmml" and "/" not in file]
    if len(found) != 1:
        raise InvalidError(f"a PMML model is one .pmml file, not {', '.join(found) or 'nothing'}")
    return found[0]


def _source(name: str) -> bytes:
    return resources.files("klever.runtimes.openscoring").joinpath("files", name).read_bytes()
