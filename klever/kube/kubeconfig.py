"""Loads the configuration of a cluster like kubectl, with the loaders of the `kubernetes` package.

The package takes half a second to import, so import this module only to connect to a cluster. This module adds what the
package lacks: the current context, errors without secrets, and rereading of files.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import yaml
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from kubernetes.config.kube_config import ConfigNode, FileOrData, KubeConfigMerger

from klever.errors import FailedPreconditionError
from klever.kube.addresses import environment_proxy, url
from klever.kube.config import Credentials, KubeConfig, check_header
from klever.kube.impersonation import impersonation_headers
from klever.kube.plugin import Plugin

__all__ = ["load_config"]

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_FILE_SECONDS = 60.0
"""How long the content of a file is used. Kubernetes renews the file long before it expires."""
_FILES = ("tokenFile", "client-certificate", "client-key", "certificate-authority")
_WRONG = (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError, AttributeError)
"""The package's exceptions for an invalid file."""


def load_config(
    path: Path | None = None,
    context: str = "",
    *,
    environ: Mapping[str, str] = MappingProxyType({}),
    account: Path = _SERVICE_ACCOUNT,
) -> KubeConfig:
    """Read `path`, else the files of $KUBECONFIG, else ~/.kube/config, else the service account of a pod.

    `environ` has these variables and those of proxies. Raises `FailedPreconditionError`.
    """
    files = [path] if path else _files(environ)
    found = [file for file in files if path or file.is_file()]
    if not found and not context and (account / "token").is_file():
        return _in_cluster(account, environ)
    origin = f"kubeconfig {', '.join(map(str, found or files))}"
    if not found:
        raise _failure(f"{origin} not found: give --kubeconfig or set KUBECONFIG")
    merger = _merged(found, origin)
    with _errors(origin):
        return _config(merger, context, origin, environ)


def _files(environ: Mapping[str, str]) -> list[Path]:
    given = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return given or [Path(environ.get("HOME") or Path.home()) / ".kube" / "config"]


def _merged(files: list[Path], origin: str) -> KubeConfigMerger:
    merger = KubeConfigMerger("")
    try:
        for file in files:
            merger.load_config(str(file))
        merger.config.name = "it"
        for section in ("clusters", "contexts", "users"):
            for entry in merger.config[section].value:
                entry.name = f"{section}[{entry.value['name']}]"  # errors would show the whole entry, including tokens
    except OSError as error:
        raise _failure(f"cannot read {origin}: {error}") from error
    except ConfigException:
        raise _failure(f"{origin} is empty, or an entry has no name") from None  # the message may contain a token
    except _WRONG as error:
        raise _failure(f"{origin} is not a valid kubeconfig: {error}") from error
    return merger


def _config(merger: KubeConfigMerger, context: str, origin: str, environ: Mapping[str, str]) -> KubeConfig:
    currents = (document.get("current-context") for document in merger.config_files.values())
    context = context or next(filter(None, currents), "")  # that of the first file, as in kubectl
    names = sorted(entry.value["name"] for entry in merger.config["contexts"].value)
    if context not in names:
        raise ValueError(f"context {context!r} not found: give --context, one of {', '.join(names) or 'none'}")
    chosen = _entry(merger, "contexts", context)
    cluster = _entry(merger, "clusters", chosen["cluster"])
    user = _entry(merger, "users", chosen["user"]) if "user" in chosen else {}
    if "auth-provider" in user and "exec" not in user:
        raise ValueError("auth-provider is not supported: use an exec plugin")
    authority, insecure = _content(cluster, "certificate-authority"), cluster.get("insecure-skip-tls-verify", False)
    if not isinstance(insecure, bool) or (insecure and authority):
        raise ValueError("insecure-skip-tls-verify: must be true or false, and false with a certificate-authority")
    _own(user, 0.0)  # find unusable files now, not at the first request
    server = url("server", cluster["server"])
    told = {"server": server, "insecure-skip-tls-verify": insecure} | (
        {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
    )
    plugin = Plugin(user["exec"], user["directory"], told) if "exec" in user else None
    return KubeConfig(
        server=server,
        authority=authority,
        insecure=insecure,
        tls_server_name=cluster.get("tls-server-name", ""),
        proxy=url("proxy-url", cluster["proxy-url"]) if "proxy-url" in cluster else environment_proxy(server, environ),
        namespace=chosen.get("namespace", "default"),
        credentials=partial(_credentials, user, plugin, origin),
        renewable=plugin is not None or any(name in user for name in _FILES),
        impersonation=impersonation_headers(user),
        context=context,
        origin=origin,
    )


def _entry(merger: KubeConfigMerger, section: str, name: str) -> dict[str, Any]:
    """Return a context, cluster or user and its file's directory, with absolute paths and without null fields."""
    node: ConfigNode = merger.config[section].get_with_name(name)
    directory = str(Path(node.path).absolute().parent)
    given = {field: value for field, value in (node.value.get(section[:-1]) or {}).items() if value is not None}
    files = {field: os.path.join(directory, given[field]) for field in _FILES if field in given}  # noqa: PTH118 - text
    return {**given, **files, "directory": directory}


def _credentials(user: Mapping[str, Any], plugin: Plugin | None, origin: str, now: float) -> Credentials:
    """See `KubeConfig.credentials`. The user's token takes precedence over the plugin's."""
    with _errors(origin):
        own = _own(user, now)
    return own if plugin is None or own.authorization else plugin.run(own)


def _own(user: Mapping[str, Any], now: float) -> Credentials:
    authorization = ""
    if "tokenFile" in user:  # takes precedence over the token, because it is renewed
        authorization = f"Bearer {FileOrData(user, 'tokenFile', 'none', base64_file_content=False).as_data().strip()}"
    elif "token" in user:
        authorization = f"Bearer {user['token']}"
    elif "username" in user:
        pair = f"{user['username']}:{user.get('password', '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    expires = now + _FILE_SECONDS if any(name in user for name in _FILES) else float("inf")
    certificate, key = _content(user, "client-certificate"), _content(user, "client-key")
    return Credentials(check_header(authorization), certificate, key, expires)


def _content(entry: Mapping[str, Any], name: str) -> bytes:
    """Return the content of NAME-data, or of the file NAME."""
    content = base64.b64decode(FileOrData(entry, name).as_data() or b"")
    if not content and (name in entry or f"{name}-data" in entry):
        raise ValueError(f"{name} is empty")
    return content


def _in_cluster(account: Path, environ: Mapping[str, str]) -> KubeConfig:
    origin = "the service account of this pod"

    def settings() -> SimpleNamespace:
        loaded = SimpleNamespace(api_key={})
        with _errors(origin):
            InClusterConfigLoader(account / "token", account / "ca.crt", False, environ).load_and_set(loaded)
            loaded.authorization = check_header(loaded.api_key["BearerToken"].strip())
        return loaded

    host, namespace = settings().host, account / "namespace"
    return KubeConfig(
        server=host,
        authority=(account / "ca.crt").read_bytes(),
        proxy=environment_proxy(host, environ),
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        credentials=lambda now: Credentials(settings().authorization, expires=now + _FILE_SECONDS),
        renewable=True,
        context="in-cluster",
        origin=origin,
    )


@contextmanager
def _errors(origin: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, AttributeError) as error:
        raise _failure(f"{origin}: a field has the wrong type ({error})") from error
    except _WRONG as error:
        raise _failure(f"{origin}: {f'{error} is missing' if isinstance(error, KeyError) else error}") from error


def _failure(message: str) -> FailedPreconditionError:
    return FailedPreconditionError(message, reason="KUBECONFIG")
