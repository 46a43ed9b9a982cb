"""Which API server, and as whom: kubeconfig files and a pod's service account, read as kubectl reads them.

Source: kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig ("Merging kubeconfig files") and
k8s.io/client-go/tools/clientcmd.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from klever.errors import FailedPreconditionError

__all__ = ["ExecPlugin", "KubeConfig"]

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REASON = "KUBECONFIG"


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A command that prints an ExecCredential (client.authentication.k8s.io)."""

    command: str
    arguments: tuple[str, ...]
    env: dict[str, str]
    api_version: str
    install_hint: str
    cluster_info: bool
    base: Path
    """Directory that a relative command is of."""


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """One API server and one user. PEM data is bytes; empty is none."""

    server: str
    authority: bytes = b""
    insecure: bool = False
    tls_server_name: str = ""
    proxy: str = ""
    namespace: str = "default"
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    plugin: ExecPlugin | None = None
    context: str = ""

    @classmethod
    def load(cls, path: Path | None = None, context: str = "") -> Self:
        """Read `path`; else the files of $KUBECONFIG, else ~/.kube/config, else the service account of a pod.

        Raises `FailedPreconditionError` that says what is missing.
        """
        files = [path] if path else _files()
        found = [file for file in files if path or file.is_file()]
        if not found and not context and (_SERVICE_ACCOUNT / "token").is_file():
            return cls._in_cluster()
        if not found:
            looked = ", ".join(map(str, files))
            raise _failure(f"no kubeconfig: looked for {looked}; give --kubeconfig or set KUBECONFIG")
        return cls._of(_merged(found), context)

    @classmethod
    def _of(cls, merged: _Merged, name: str) -> Self:
        name = name or merged.current
        if not name:
            raise _failure(f"{merged.origin} has no current-context; give --context ({merged.names('contexts')})")
        context = merged.entry("contexts", name)
        cluster = merged.entry("clusters", str(context.value.get("cluster", "")))
        user = merged.entry("users", str(context.value["user"])) if context.value.get("user") else _Entry({}, Path())
        server = cluster.value.get("server")
        if not server:
            raise _failure(f"{merged.origin}: the cluster of context {name!r} has no server")
        token_file = user.value.get("tokenFile")
        return cls(
            server=str(server).rstrip("/"),
            authority=cluster.data("certificate-authority"),
            insecure=bool(cluster.value.get("insecure-skip-tls-verify")),
            tls_server_name=str(cluster.value.get("tls-server-name") or ""),
            proxy=str(cluster.value.get("proxy-url") or ""),
            namespace=str(context.value.get("namespace") or "default"),
            certificate=user.data("client-certificate"),
            key=user.data("client-key"),
            token=str(user.value.get("token") or ""),
            token_file=user.base / token_file if token_file else None,
            username=str(user.value.get("username") or ""),
            password=str(user.value.get("password") or ""),
            plugin=_plugin(user),
            context=name,
        )

    @classmethod
    def _in_cluster(cls) -> Self:
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise _failure("a service account is mounted, but KUBERNETES_SERVICE_HOST is not set")
        host = f"[{host}]" if ":" in host else host
        return cls(
            server=f"https://{host}:{port}",
            authority=(_SERVICE_ACCOUNT / "ca.crt").read_bytes(),
            namespace=(_SERVICE_ACCOUNT / "namespace").read_text().strip(),
            token_file=_SERVICE_ACCOUNT / "token",
            context="in-cluster",
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named section, and the directory that its relative paths are of."""

    value: dict[str, Any]
    base: Path

    def data(self, name: str) -> bytes:
        """Return what NAME-data holds, or the file that NAME names."""
        try:
            if encoded := self.value.get(f"{name}-data"):
                return base64.b64decode(str(encoded), validate=True)
            if path := self.value.get(name):
                return (self.base / str(path)).read_bytes()
        except binascii.Error as error:
            raise _failure(f"{name}-data of the kubeconfig is not base64: {error}") from error
        except OSError as error:
            raise _failure(f"{name} of the kubeconfig cannot be read: {error}") from error
        return b""


@dataclass(frozen=True, slots=True)
class _Merged:
    """Several files as one: what stands first wins."""

    origin: str
    current: str
    sections: dict[str, dict[str, _Entry]]

    def names(self, section: str) -> str:
        return ", ".join(sorted(self.sections[section])) or "it has none"

    def entry(self, section: str, name: str) -> _Entry:
        entry = self.sections[section].get(name)
        if entry is None:
            raise _failure(f"{self.origin}: {section[:-1]} {name!r} does not exist ({self.names(section)})")
        return entry


def _files() -> list[Path]:
    given = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return given or [Path.home() / ".kube" / "config"]


def _merged(files: list[Path]) -> _Merged:
    current = ""
    sections: dict[str, dict[str, _Entry]] = {"clusters": {}, "contexts": {}, "users": {}}
    for file in files:
        document = _read(file)
        current = current or str(document.get("current-context") or "")
        for section, entries in sections.items():
            for item in document.get(section) or []:
                value = item.get(section[:-1]) or {}
                entries.setdefault(str(item.get("name")), _Entry(value, file.absolute().parent))
    return _Merged(", ".join(map(str, files)), current, sections)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise _failure(f"kubeconfig {file} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise _failure(f"kubeconfig {file} is no YAML: {error}") from error
    if not isinstance(document, dict):
        raise _failure(f"kubeconfig {file} holds no configuration")
    return document


def _plugin(user: _Entry) -> ExecPlugin | None:
    if "auth-provider" in user.value and "exec" not in user.value:
        raise _failure("auth-provider of the kubeconfig is gone from Kubernetes too: use an exec plugin")
    given = user.value.get("exec")
    if not given:
        return None
    return ExecPlugin(
        command=str(given["command"]),
        arguments=tuple(map(str, given.get("args") or ())),
        env={str(pair["name"]): str(pair["value"]) for pair in given.get("env") or ()},
        api_version=str(given.get("apiVersion") or "client.authentication.k8s.io/v1"),
        install_hint=str(given.get("installHint") or ""),
        cluster_info=bool(given.get("provideClusterInfo")),
        base=user.base,
    )


def _failure(message: str) -> FailedPreconditionError:
    return FailedPreconditionError(message, reason=_REASON)
