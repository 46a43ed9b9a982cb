"""The file of `klever controllers --pods`: the images of what runs in pods.

image: registry.example/klever:1.0           # Klever: tasks, and the storage initializer of replicas
python: /usr/local/bin/python3               # the interpreter in the images, by default python3
user: 65532                                  # the user of all containers, by default 65532
pullSecrets: [registry]                      # Secrets with the credentials for the images
pod: {spec: {schedulerName: volcano}}        # a strategic merge patch of the template of all pods
gateway:                                     # what reaches replicas: NetworkPolicyPeers, by default this machine
- ipBlock: {cidr: 192.0.2.7/32}
istio:                                       # Istio's gateway routes requests, by default this machine's Envoy
  url: https://models.example.com            # the address of the gateway for users
environments:                                # what frameworks run in, for conversions and runtimes
- image: registry.example/klever-triton:1.0
  paths: {triton: /opt/environments/triton}  # the directories of the environments in the image
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from klever.api.documents import read_document
from klever.cmd.istio import read_istio
from klever.errors import InvalidError
from klever.kube.merge import merge
from klever.routers.istio import IstioSettings

__all__ = ["EnvironmentImage", "PodsFile", "read_pods"]

_FIELDS: Final = frozenset(("image", "python", "user", "pullSecrets", "pod", "gateway", "istio", "environments"))
_USER: Final = 65532
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class EnvironmentImage:
    """An image, and the directories of the environments in it by their names."""

    name: str
    paths: Mapping[str, PurePosixPath]


@dataclass(frozen=True, slots=True)
class PodsFile:
    image: str
    python: str
    user: int
    pull_secrets: tuple[str, ...]
    environments: tuple[EnvironmentImage, ...]
    gateway: tuple[Mapping[str, Any], ...] = ()
    istio: IstioSettings | None = None
    """None for the Envoy of this machine."""
    pod: Mapping[str, Any] = field(default_factory=dict)


def read_pods(path: Path) -> PodsFile:
    """Read the file. Raises `InvalidError` that names the field."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        raise InvalidError(f"--pods {path}: {error.strerror}") from error
    document = read_document(content, str(path))
    if not isinstance(document, dict) or not isinstance(document.get("image"), str):
        raise InvalidError(f"{path}: image: is required: the image that holds Klever")
    if unknown := document.keys() - _FIELDS:
        raise InvalidError(f"{path}: unknown field {min(unknown)!r}: must be one of {', '.join(sorted(_FIELDS))}")
    try:
        return PodsFile(
            document["image"],
            str(document.get("python", "python3")),
            int(document.get("user", _USER)),
            tuple(map(str, document.get("pullSecrets", ()))),
            tuple(map(_environment, document.get("environments", ()))),
            tuple(dict(peer) for peer in document.get("gateway", ())),
            read_istio(document["istio"]) if "istio" in document else None,
            merge({}, document.get("pod", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidError(f"{path}: {error}: see docs/kubernetes.md for an example") from error


def _environment(entry: Any) -> EnvironmentImage:
    return EnvironmentImage(entry["image"], {name: PurePosixPath(path) for name, path in entry["paths"].items()})
