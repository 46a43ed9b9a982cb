"""Maps the host of a reference to a registry: a table of hosts, similar to containerd's hosts.toml.

    registries:
      harbor.example.com:
        url: https://10.0.0.5:8443      # default: https://HOST; http://HOST for loopback hosts, as Docker does
        mirror: https://mirror.local    # reads go here first
        username: robot
        password: secret                # or token: a bearer token
        ca: /etc/klever/harbor-ca.pem   # trusted instead of the system's certificates
        insecure: false                 # true: accept any certificate
        plaintext: false                # true: send credentials over plain HTTP beyond loopback
        realms: [auth.example.com]      # further hosts that may get the credentials and return a token

A reference without a host means the platform's registry, which the caller supplies. Only that registry may use a Unix
socket, `http+unix:///path/to/registry.sock`: no table, redirect or token realm can name one.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from klever.errors import FailedPreconditionError, FieldViolation, InvalidError, NotFoundError
from klever.oci.reference import Reference

__all__ = [
    "Credentials",
    "Endpoint",
    "Registries",
    "check_credentials",
    "default_url",
    "is_loopback",
    "may_carry_credentials",
]

_SOCKET: Final = "http+unix://"
_MAX_SOCKET_PATH: Final = 107
"""The longest path of a socket in bytes (unix(7))."""
_KEYS: Final = {"url", "mirror", "username", "password", "token", "ca", "insecure", "realms", "plaintext"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A bearer token, or else a user name and password."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach one registry. `name` is its host in references, empty for the platform's registry."""

    name: str
    url: str
    credentials: Credentials | None = None
    ca: Path | None = None
    insecure: bool = False
    realms: tuple[str, ...] = ()
    mirror: Endpoint | None = None
    plaintext: bool = False
    """Whether it may receive credentials in plain HTTP beyond loopback."""

    def __post_init__(self) -> None:
        if self.socket is not None and not self.name:
            _check_socket(self.socket)
        elif not _is_address(self.url):
            raise InvalidError(f"registry {self.name!r}: url must be http[s]://HOST[:PORT], not {self.url!r}")

    @property
    def host(self) -> str:
        """`HOST[:PORT]` of the URL; `localhost` for a socket."""
        return "localhost" if self.socket else urlsplit(self.url).netloc

    @property
    def socket(self) -> Path | None:
        """The Unix socket on which the registry listens; None if it is on the network."""
        return Path(self.url.removeprefix(_SOCKET)) if self.url.startswith(_SOCKET) else None

    @property
    def base(self) -> str:
        """The prefix of the registry's URLs: `http[s]://HOST[:PORT]`."""
        return f"{'http' if self.plain_http else 'https'}://{self.host}"

    @property
    def plain_http(self) -> bool:
        return self.socket is not None or urlsplit(self.url).scheme == "http"


@dataclass(frozen=True, slots=True)
class Registries:
    """The table. A host that is not in it is reached by its own name."""

    entries: Mapping[str, Endpoint] = field(default_factory=dict)
    platform: Endpoint | None = None

    @classmethod
    def parse(cls, document: object, *, platform: Endpoint | None = None) -> Self:
        """Parse the table's document. Raises `InvalidError` that names the field."""
        table = document.get("registries") if isinstance(document, Mapping) else None
        if not isinstance(table, Mapping) or not isinstance(document, Mapping) or set(document) != {"registries"}:
            raise _violation("registries", "must be the only key, an object of hosts")
        return cls({host: _entry(host, entry) for host, entry in table.items()}, platform)

    def resolve(self, reference: Reference) -> Endpoint:
        """Return the registry of `reference`. Raises `NotFoundError` if it has no host and there is no platform."""
        if not reference.host and self.platform is None:
            raise NotFoundError(f"{reference} names no registry host, and no platform registry is configured")
        return self.resolve_host(reference.host)

    def resolve_host(self, host: str) -> Endpoint:
        """Return the registry of `host`, which is empty for the platform's."""
        if not host and self.platform is not None:
            return self.platform
        return self.entries.get(host) or Endpoint(host, default_url(host))


def default_url(host: str) -> str:
    """Return the default URL of a host: https, except for loopback hosts."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an invalid host: the check of the URL reports it
        name = ""
    return f"http://{host}" if is_loopback(name) else f"https://{host}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # brackets without an IPv6 address, or an invalid port
        return False
    named = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return named and not parts.path.strip("/") and not parts.username


def check_credentials(endpoint: Endpoint) -> None:
    """Raise `FailedPreconditionError` if the credentials must not be sent to the endpoint."""
    if endpoint.credentials and not may_carry_credentials(endpoint.url, plaintext=endpoint.plaintext):
        raise FailedPreconditionError(
            f"{endpoint.url} is beyond loopback, and plain HTTP would expose its credentials: use https",
            reason="PLAINTEXT",
        )


def may_carry_credentials(url: str, *, plaintext: bool) -> bool:
    """Whether credentials may be sent to `url`: over TLS, within this machine, or if `plaintext` is allowed."""
    parts = urlsplit(url)
    return parts.scheme == "https" or plaintext or url.startswith(_SOCKET) or is_loopback(parts.hostname or "")


def _check_socket(path: Path) -> None:
    if not path.is_absolute() or "\0" in str(path) or len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise InvalidError(
            f"invalid registry socket {str(path)!r}: must be an absolute path of at most {_MAX_SOCKET_PATH} bytes"
        )


def is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _entry(host: object, entry: object) -> Endpoint:
    path = f"registries[{host}]"
    if not isinstance(host, str) or not host or not isinstance(entry, Mapping):
        raise _violation(path, "must be an object, under the name of a host")
    unknown = sorted(map(str, set(entry) - _KEYS))
    if unknown:
        raise _violation(f"{path}.{unknown[0]}", "unknown field")
    ca = _text(entry, "ca", path)
    endpoint = Endpoint(
        name=host,
        url=_text(entry, "url", path) or default_url(host),
        credentials=_credentials(entry, path),
        ca=Path(ca) if ca else None,
        insecure=_flag(entry, "insecure", path),
        realms=_texts(entry, "realms", path),
        plaintext=_flag(entry, "plaintext", path),
    )
    if endpoint.credentials and not may_carry_credentials(endpoint.url, plaintext=endpoint.plaintext):
        raise _violation(f"{path}.url", "must be https to carry credentials; set plaintext: true in a private network")
    mirror = _text(entry, "mirror", path)
    return replace(endpoint, mirror=Endpoint(host, mirror)) if mirror else endpoint


def _credentials(entry: Mapping[str, Any], path: str) -> Credentials | None:
    given = Credentials(*(_text(entry, name, path) for name in ("username", "password", "token")))
    return given if given != Credentials() else None


def _text(entry: Mapping[str, Any], name: str, path: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        raise _violation(f"{path}.{name}", "must be text")
    return value


def _texts(entry: Mapping[str, Any], name: str, path: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _violation(f"{path}.{name}", "must be a list of text")
    return tuple(value)


def _flag(entry: Mapping[str, Any], name: str, path: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool):
        raise _violation(f"{path}.{name}", "must be true or false")
    return value


def _violation(path: str, description: str) -> InvalidError:
    return InvalidError(violations=(FieldViolation(path, description),))
