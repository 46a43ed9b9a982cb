"""What proves to the API server who we are, kept fresh: tokens, files that rotate, exec plugins.

Source: kubernetes.io/docs/reference/access-authn-authz/authentication ("client-go credential plugins").
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from klever.errors import UnauthenticatedError
from klever.kube.config import ExecPlugin, KubeConfig
from klever.kube.kubeconfig import is_plain, read_file, read_token

__all__ = ["CredentialSource", "Credentials"]

_PLUGIN_SECONDS = 60.0
_FILE_SECONDS = 60.0
"""How long what a file holds is believed: kubelet and others renew it long before it ends."""
_EARLY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What to send: an Authorization header, and a client certificate with its key (PEM)."""

    authorization: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    expires: float = float("inf")
    """Unix time."""


class CredentialSource:
    """Credentials of one user. `clock` gives the Unix time."""

    def __init__(self, config: KubeConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: Credentials | None = None

    async def get(self) -> Credentials:
        """Return what is valid now.

        Raises `UnauthenticatedError` if a plugin does not give it, `FailedPreconditionError` if a file does not.
        """
        async with self._lock:
            if self._known is None or self._clock() > self._known.expires - _EARLY_SECONDS:
                self._known = await self._read()
            return self._known

    def refused(self, credentials: Credentials) -> bool:
        """Forget what the server refused; whether asking again may give something else."""
        if self._known is credentials:
            self._known = None
        return self._config.plugin is not None or self._in_files()

    def _in_files(self) -> bool:
        config = self._config
        return config.token_file is not None or isinstance(config.certificate, Path) or isinstance(config.key, Path)

    async def _read(self) -> Credentials:
        config = self._config
        own = await asyncio.to_thread(self._own)
        if config.plugin is None or own.authorization:
            return own
        return await _run(config.plugin, config, own)

    def _own(self) -> Credentials:
        """Return what the configuration itself has; it goes before what a plugin says."""
        config = self._config
        authorization = ""
        if config.token_file is not None:
            authorization = f"Bearer {read_token(config.token_file, f'{config.origin}: tokenFile')}"
        elif config.token:
            authorization = f"Bearer {config.token}"
        elif config.username:
            pair = f"{config.username}:{config.password}".encode()
            authorization = "Basic " + base64.b64encode(pair).decode()
        expires = self._clock() + _FILE_SECONDS if self._in_files() else float("inf")
        certificate = self._content(config.certificate, "client-certificate")
        return Credentials(authorization, certificate, self._content(config.key, "client-key"), expires)

    def _content(self, held: bytes | Path, field: str) -> bytes:
        return read_file(held, f"{self._config.origin}: {field}") if isinstance(held, Path) else held


async def _run(plugin: ExecPlugin, config: KubeConfig, own: Credentials) -> Credentials:
    """Run the plugin; it gets no terminal: a service cannot be asked anything."""
    # Like kubectl: a bare name is looked for in PATH, a relative path is the kubeconfig's.
    command = str(plugin.base / plugin.command) if os.sep in plugin.command else plugin.command
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *plugin.arguments,
            env={**plugin.env, "KUBERNETES_EXEC_INFO": _exec_info(plugin, config)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
    except OSError as error:
        hint = f": {plugin.install_hint}" if plugin.install_hint else ""
        raise UnauthenticatedError(f"the credential plugin {command} cannot run ({error.strerror}){hint}") from error
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _PLUGIN_SECONDS)
    except TimeoutError as error:
        raise UnauthenticatedError(f"the credential plugin {command} took over {_PLUGIN_SECONDS:g} s") from error
    finally:  # also where whoever asked waits no longer
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        words = errors.decode(errors="replace").strip()[-500:]
        raise UnauthenticatedError(f"the credential plugin {command} failed ({process.returncode}): {words}")
    return _parse(command, output, own)


def _exec_info(plugin: ExecPlugin, config: KubeConfig) -> str:
    spec: dict[str, object] = {"interactive": False}
    if plugin.cluster_info:
        cluster: dict[str, object] = {"server": config.server, "insecure-skip-tls-verify": config.insecure}
        if config.authority:
            cluster["certificate-authority-data"] = base64.b64encode(config.authority).decode()
        spec["cluster"] = cluster
    return json.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})


def _parse(command: str, output: bytes, own: Credentials) -> Credentials:
    try:
        status = json.loads(output)["status"]
        ends = status.get("expirationTimestamp")
        expires = min(own.expires, datetime.fromisoformat(ends).timestamp() if ends else float("inf"))
        token = status.get("token", "")
        certificate = status.get("clientCertificateData", "").encode() or own.certificate
        key = status.get("clientKeyData", "").encode() or own.key
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnauthenticatedError(f"the credential plugin {command} printed no ExecCredential: {error!r}") from error
    if not is_plain(token) or bool(certificate) != bool(key) or not (token or certificate):
        words = "an ExecCredential without a token, or a certificate with its key"
        raise UnauthenticatedError(f"the credential plugin {command} printed {words}")
    return Credentials(f"Bearer {token}" if token else "", certificate, key, expires)
