"""A server with OpenScoring's REST API on pypmml, from the environment `pmml`.

OpenScoring itself is under the AGPL and not part of Klever. With the variable `OPENSCORING_DEPLOY=true` of a predictor,
callers may add models, which exist only in the memory of the replica.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import PurePosixPath
from typing import Final

from klever.errors import InvalidError
from klever.limits import DEFAULTS, Limits
from klever.runtimes import Launch, Model, Placement, Probe
from klever.runtimes.protocols import OPENSCORING

__all__ = ["OpenScoringRuntime"]

_ENVIRONMENT: Final = "pmml"
_SOURCES: Final = ("launch.py", "bounds.py", "handler.py", "inference.py", "models.py")
_LIMITS: Final = ("scored_records", "scored_values", "request_depth", "uploaded_models", "uploaded_bytes")
_JAVA: Final = PurePosixPath("/etc/java-17-openjdk")
"""Debian's configuration of Java, to which links in /usr/lib/jvm point."""


class OpenScoringRuntime:
    """Serves a PMML model under the Serving's name."""

    name = "openscoring"
    protocol = OPENSCORING
    formats = frozenset({"PMML"})
    runs_commands = False
    uses_ports = False

    def __init__(self, limits: Limits = DEFAULTS) -> None:
        self._limits = {name: getattr(limits, name) for name in _LIMITS}

    def serves(self, format_: str) -> bool:
        """Return whether it serves a format. Its parts are in an environment."""
        return format_ in self.formats

    def check(self, model: Model) -> None:
        """Raise `InvalidError` unless there is exactly one PMML document."""
        if model.format not in self.formats:
            raise InvalidError(f"OpenScoring serves PMML, not {model.format or 'a model without a format'}")
        _document(model.files)

    def environments(self, model: Model) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return (_ENVIRONMENT,)

    def launch(self, model: Model, at: Placement) -> Launch:
        """Start a server with the model."""
        self.check(model)
        http = f"unix:{at.sockets}/http.sock" if at.sockets else f"{at.host}:{at.http_port}"
        settings = {
            "http": http,
            "name": model.name,
            "model": f"{at.store}/model/model.pmml",
            "deploy": at.env.get("OPENSCORING_DEPLOY") == "true",
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
            files={
                "launch.json": json.dumps(settings, indent=1).encode(),
                **{f"server/{name}": _source(name) for name in _SOURCES},
            },
            links={"model/model.pmml": _document(model.files)},
            read=(_JAVA,),
        )

    def example(self, model: Model) -> bytes:
        """Raise `InvalidError`: an example needs the allowed values of the model's fields, which its schema has."""
        raise InvalidError(f"{model.name} describes its fields at /openscoring/model/{model.name}")


def _document(files: tuple[str, ...]) -> str:
    found = [file for file in files if PurePosixPath(file).suffix == ".pmml" and "/" not in file]
    if len(found) != 1:
        raise InvalidError(f"a PMML model is one .pmml file, not {', '.join(found) or 'nothing'}")
    return found[0]


def _source(name: str) -> bytes:
    return resources.files("klever.runtimes.openscoring").joinpath("files", name).read_bytes()
