"""Exec plugins: commands that print credentials. The `kubernetes` package runs them, here with a timeout.

Source: kubernetes.io/docs/reference/access-authn-authz/authentication ("client-go credential plugins").
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kubernetes.config import ConfigException
from kubernetes.config.exec_provider import ExecProvider
from kubernetes.config.kube_config import ConfigNode

from klever.errors import UnauthenticatedError
from klever.kube.config import Credentials, check_header

__all__ = ["Plugin"]

_SECONDS = 60


class Plugin:
    """The plugin that the field `exec` of a user describes."""

    def __init__(self, config: Mapping[str, Any], directory: str, cluster: Mapping[str, Any]) -> None:
        """Read the field. A relative command is in `directory`. Raises `ConfigException` for a missing field."""
        self._command = config.get("command")
        self._hint = f": {config['installHint']}" if config.get("installHint") else ""
        self._provider = ExecProvider(ConfigNode("exec", config), directory, ConfigNode("cluster", cluster))
        self._provider.args = ["timeout", "--foreground", str(_SECONDS), *self._provider.args]

    def run(self, own: Credentials) -> Credentials:
        """Run the plugin. Return its credentials, completed from `own`. Raises `UnauthenticatedError`."""
        try:
            return _parse(self._provider.run(), own)
        except (ConfigException, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            words = str(error)[:500]
            raise UnauthenticatedError(f"the credential plugin {self._command} failed: {words}{self._hint}") from error


def _parse(status: Mapping[str, Any], own: Credentials) -> Credentials:
    """Read the status of an ExecCredential. Raises ValueError and similar exceptions."""
    ends = status.get("expirationTimestamp")
    expires = min(own.expires, datetime.fromisoformat(ends).timestamp() if ends else float("inf"))
    token = check_header(f"Bearer {status['token']}" if status.get("token") else "")
    certificate, key = (status.get(name, "").encode() for name in ("clientCertificateData", "clientKeyData"))
    if not token and not (certificate and key):
        raise ValueError("it must print a token or a certificate with its key")
    return Credentials(token, certificate or own.certificate, key or own.key, expires)
