"""Which API server, and as whom: kubeconfig files and a pod's service account, read as kubectl reads them.

Source: k8s.io/client-go `tools/clientcmd` and `rest`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import SplitResult, quote, urlsplit
from urllib.request import proxy_bypass

from klever.kube.kubeconfig import Merged, Section, failure, is_plain, merged, read_file, read_token

__all__ = ["ExecPlugin", "KubeConfig"]

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HEADER_CHARACTERS = "!#$&'*+^`|"
"""Beside letters, digits and `-._~`, which are never quoted (RFC 7230: tchar, without %)."""


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A command that prints an ExecCredential (client.authentication.k8s.io)."""

    command: str
    arguments: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    """All of it."""
    api_version: str
    install_hint: str
    cluster_info: bool
    base: Path
    """Directory that a relative command is of."""


@dataclass(frozen=True, slots=True)
class KubeConfig:
    """One API server and one user. PEM data is bytes, or the file that has it and may change; empty is none."""

    server: str
    authority: bytes = b""
    insecure: bool = False
    tls_server_name: str = ""
    proxy: str = field(default="", repr=False)
    """URL; empty for none."""
    namespace: str = "default"
    certificate: bytes | Path = field(default=b"", repr=False)
    key: bytes | Path = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    """Goes before the token, as it is the one that changes."""
    username: str = ""
    password: str = field(default="", repr=False)
    plugin: ExecPlugin | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers that say for whom to act."""
    context: str = ""
    origin: str = "the kubeconfig"
    """Where this was read, for messages."""

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        context: str = "",
        *,
        environ: Mapping[str, str] = MappingProxyType({}),
        account: Path = _SERVICE_ACCOUNT,
    ) -> Self:
        """Read `path`; else the files of $KUBECONFIG, else ~/.kube/config, else the service account of a pod.

        `environ` has these variables, those that name proxies, and what exec plugins get. Raises
        `FailedPreconditionError` that says what is missing.
        """
        files = [path] if path else _files(environ)
        found = [file for file in files if path or file.is_file()]
        if not found and not context and (account / "token").is_file():
            return cls._in_cluster(account, environ)
        if not found:
            looked = ", ".join(map(str, files))
            raise failure(f"no kubeconfig: looked for {looked}; give --kubeconfig or set KUBECONFIG")
        return cls._of(merged(found), context, environ)

    @classmethod
    def _of(cls, config: Merged, name: str, environ: Mapping[str, str]) -> Self:
        name = name or config.current
        if not name:
            raise failure(
                f"kubeconfig {config.origin} has no current-context; give --context ({config.names('contexts')})"
            )
        context = config.entry("contexts", name)
        cluster = config.entry("clusters", context.required("cluster"))
        user = config.entry("users", context.line("user")) if context.has("user") else Section(None, context.file)
        certificate, key = _certificate(user)
        authority, insecure = cluster.content("certificate-authority"), cluster.flag("insecure-skip-tls-verify")
        if authority and insecure:
            raise cluster.wrong("insecure-skip-tls-verify", "cannot be true where there is a certificate-authority")
        server = _server(cluster, tls=bool(authority or certificate or insecure))
        return cls(
            server=server,
            authority=authority,
            insecure=insecure,
            tls_server_name=cluster.line("tls-server-name"),
            proxy=_proxy(cluster) or _environments_proxy(server, environ),
            namespace=context.line("namespace") or "default",
            certificate=certificate,
            key=key,
            token=user.line("token"),
            token_file=_token_file(user),
            username=user.text("username"),
            password=user.text("password"),
            plugin=_plugin(user, environ),
            impersonation=_impersonation(user),
            context=name,
            origin=f"kubeconfig {config.origin}",
        )

    @classmethod
    def _in_cluster(cls, account: Path, environ: Mapping[str, str]) -> Self:
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise failure("a service account is mounted, but KUBERNETES_SERVICE_HOST is not set")
        host = f"[{host}]" if ":" in host else host
        where = "the service account of this pod"
        read_token(account / "token", where)
        namespace = account / "namespace"
        server = f"https://{host}:{port}"
        return cls(
            server=server,
            proxy=_environments_proxy(server, environ),
            authority=read_file(account / "ca.crt", where),
            namespace=read_file(namespace, where).decode().strip() if namespace.exists() else "default",
            token_file=account / "token",
            context="in-cluster",
            origin=where,
        )


def _files(environ: Mapping[str, str]) -> list[Path]:
    given = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return given or [Path(environ.get("HOME") or Path.home()) / ".kube" / "config"]


def _server(cluster: Section, *, tls: bool) -> str:
    """Without a scheme it is https if anything else tells of TLS, otherwise http (client-go: DefaultServerURL)."""
    given = cluster.required("server").rstrip("/")
    try:
        parts = urlsplit(given)
        whole = bool(parts.scheme and parts.netloc)
        if not whole:
            parts = urlsplit(f"{'https' if tls else 'http'}://{given}")
        valid = _is_address(parts) and (whole or not parts.path) and not (parts.query or parts.fragment)
    except ValueError:
        valid = False
    if not valid:
        raise cluster.wrong("server", f"{given!r} is no address of an API server: write https://HOST:PORT")
    return parts.geturl()


def _proxy(cluster: Section) -> str:
    given = cluster.text("proxy-url")
    try:
        valid = _is_address(urlsplit(given))
    except ValueError:
        valid = False
    if given and not valid:
        raise cluster.wrong("proxy-url", f"{given!r} is no proxy that can be used: write http://HOST:PORT")
    return given


def _environments_proxy(server: str, environ: Mapping[str, str]) -> str:
    """Return the proxy that HTTPS_PROXY and its like name for a server; lower case goes before (as urllib has it).

    aiohttp's own way would read the process's environment, and send what ~/.netrc has, too.
    """
    named = sorted((name.islower(), name, value) for name, value in environ.items() if name.lower().endswith("_proxy"))
    proxies = {name.lower().removesuffix("_proxy"): value for _, name, value in named}
    parts = urlsplit(server)
    if not parts.hostname or proxy_bypass(parts.hostname, proxies):
        return ""
    return proxies.get(parts.scheme, "")


def _is_address(parts: SplitResult) -> bool:
    """Raises ValueError for a port that is none."""
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and " " not in parts.netloc


def _certificate(user: Section) -> tuple[bytes | Path, bytes | Path]:
    """Return certificate and key; the file where it is one, after a look whether it is there."""
    found: list[bytes | Path] = []
    for name in ("client-certificate", "client-key"):
        content = user.content(name)
        path = None if user.text(f"{name}-data") else user.path(name)
        found.append(path or content)
    certificate, key = found
    if bool(certificate) != bool(key):
        missing = "client-key" if certificate else "client-certificate"
        raise user.wrong(missing, "is required where there is the other one of certificate and key")
    return certificate, key


def _token_file(user: Section) -> Path | None:
    path = user.path("tokenFile")
    if path is not None:
        read_token(path, f"{user}.tokenFile")
    return path


def _plugin(user: Section, environ: Mapping[str, str]) -> ExecPlugin | None:
    if user.has("auth-provider") and not user.has("exec"):
        raise user.wrong("auth-provider", "is gone from Kubernetes too: use an exec plugin")
    if not user.has("exec"):
        return None
    given = user.section("exec")
    if given.text("interactiveMode") == "Always":
        raise given.wrong("interactiveMode", "cannot be Always: there is nobody whom the plugin could ask")
    return ExecPlugin(
        command=given.required("command"),
        arguments=given.texts("args"),
        env={**environ, **{pair.required("name"): pair.text("value") for pair in given.sections("env")}},
        api_version=given.text("apiVersion") or "client.authentication.k8s.io/v1",
        install_hint=given.text("installHint"),
        cluster_info=given.flag("provideClusterInfo"),
        base=user.file.absolute().parent,
    )


def _impersonation(user: Section) -> tuple[tuple[str, str], ...]:
    """Return the headers (kubernetes.io/docs/reference/access-authn-authz/user-impersonation)."""
    who, uid = user.line("as"), user.line("as-uid")
    headers = [("Impersonate-User", who)] if who else []
    if uid:
        headers.append(("Impersonate-Uid", uid))
    headers += [("Impersonate-Group", group) for group in user.texts("as-groups")]
    extra = user.section("as-user-extra")
    for name in extra.fields():
        header = "Impersonate-Extra-" + quote(name, safe=_HEADER_CHARACTERS)
        headers += [(header, value) for value in extra.texts(name)]
    if headers and not who:
        raise user.wrong("as", "is required where there is as-uid, as-groups or as-user-extra")
    if not all(is_plain(value) for _, value in headers):
        raise user.wrong("as", "and what belongs to it must each be one line of text")
    return tuple(headers)
