"""The files of the gateway: those that Envoy watches, and the published routes for the next start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from klever.disk import disk_errors, replace_file
from klever.errors import IntegrityError
from klever.routers import Route
from klever.routers.envoy.bootstrap import CLUSTERS_FILE, ROUTES_FILE, bootstrap
from klever.routers.envoy.clusters import fixed_clusters
from klever.routers.envoy.gateway import Gateway
from klever.routers.envoy.routes import route_configuration
from klever.routers.envoy.tls import CERTIFICATE_FILE, certificate_secret
from klever.routers.state import decode_routes, encode_routes

__all__ = ["GatewayFiles", "encode"]

_BOOTSTRAP: Final = "bootstrap.json"
_PUBLISHED: Final = "published.json"


class GatewayFiles:
    """The files in one directory of mode 0700.

    `check` runs just before a file is replaced. If it raises, the file stays as it was. Writes also raise
    `ExhaustedError` or `UnavailableError`.
    """

    def __init__(self, directory: Path, gateway: Gateway, check: Callable[[], object]) -> None:
        self._directory = directory
        self._gateway = gateway
        self._check = check

    @property
    def bootstrap(self) -> Path:
        """The file with the start configuration of Envoy."""
        return self._directory / _BOOTSTRAP

    def make_directory(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has_bootstrap(self) -> bool:
        """Return whether the start configuration is up to date."""
        return self.bootstrap.is_file() and self.bootstrap.read_bytes() == self._wanted()

    def write_bootstrap(self) -> None:
        self._replace(_BOOTSTRAP, self._wanted())

    def write_clusters(self, version: str, clusters: Iterable[dict[str, Any]]) -> None:
        self._write(CLUSTERS_FILE, version, [*fixed_clusters(self._gateway), *clusters])

    def write_routes(self, version: str, routes: Sequence[Route]) -> None:
        self._write(ROUTES_FILE, version, [route_configuration(self._gateway, routes)])

    def write_certificate(self, version: str) -> None:
        """Write the paths of the certificate for Envoy. A running Envoy reads it at once."""
        if self._gateway.tls is not None:
            self._write(CERTIFICATE_FILE, version, [certificate_secret(self._gateway.tls)])

    def remember(self, routes: Sequence[Route]) -> None:
        """Save the routes for the next start."""
        self._replace(_PUBLISHED, encode_routes(list(routes)))

    def remembered(self) -> list[Route]:
        """Return the routes of the last start. Raises `IntegrityError` if the file is damaged."""
        path = self._directory / _PUBLISHED
        try:
            return decode_routes(path.read_bytes())
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            message = f"{path} is damaged: {error}; remove it, and Klever creates the routes again"
            raise IntegrityError(message) from error

    def _wanted(self) -> bytes:
        return encode(bootstrap(self._gateway, self._directory))

    def _write(self, name: str, version: str, resources: list[dict[str, Any]]) -> None:
        self._replace(name, encode({"version_info": version, "resources": resources}))

    def _replace(self, name: str, content: bytes) -> None:
        path = self._directory / name
        with disk_errors(path):
            replace_file(path, content, mode=0o600, check=self._check)


def encode(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
